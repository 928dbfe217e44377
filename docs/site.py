"""A hook of MkDocs: pages of the site that lie beside this folder, and links to them."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
BESIDE = (
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "annotation/guidelines.html",
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("annotation/images/*"))),
)


def on_files(files: Files, config: Any) -> Files:
    """Take in what lies beside."""
    for uri in BESIDE:
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / uri)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """In the site all pages lie in one folder."""
    return re.sub(r"\]\((?:\.\./|docs/)", "](", markdown)
