"""The manifest that docs/acquire.md shows is one."""

import re
from pathlib import Path

from sixrayd.download.sources import read_manifest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "acquire.md"


def test_the_manifest_of_the_page(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    (tmp_path / "own.toml").write_text(text, "utf-8")

    (entry,) = read_manifest(tmp_path / "own.toml").values()

    assert (entry.name, entry.verified, entry.expected.images) == ("airport", True, 12000)
    assert len(entry.archives[0].files) == 2
