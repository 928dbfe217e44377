"""No package comes in under terms that nobody has looked at."""

import re
from pathlib import Path

import pytest

from requirements.licences import columns, licence_of, page

ROOT = Path(__file__).resolve().parent.parent
PLAIN = {
    *("Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD", "BSD-2-Clause", "BSD-3-Clause"),
    *(
        "BSL-1.0",
        "CNRI-Python",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "PSF-2.0",
        "Public Domain",
        "TCL",
    ),
}
# By the package: each of them is named on the page.
NAMED = {
    "LGPL-2.1": {"paramiko"},
    "LGPL-2.1-or-later": {"inflate64", "multivolumefile", "py7zr", "pybcj", "pyppmd"},
    "MPL-2.0": {"certifi", "hypothesis", "pathspec", "tqdm"},
}
NVIDIA = re.compile(r"(nvidia|cuda)-")  # brought by builds of torch for GPUs, as triton is


def packages() -> dict[str, str]:
    return {name: said for found in columns().values() for name, said in found.items()}


def test_every_licence_is_one_that_is_known():
    said = {name: text for name, text in packages().items() if not NVIDIA.match(name)}
    parts = {name: set(re.split(" AND | OR ", text)) for name, text in said.items()}
    odd = {
        name: words - PLAIN - {word for word in words if name in NAMED.get(word, ())}
        for name, words in parts.items()
    }

    assert len(parts) > 150
    assert {name: sorted(words) for name, words in odd.items() if words} == {}


def test_the_page_says_what_is_installed():
    rows = [line for line in page().splitlines() if line.startswith("| ")]
    written = (ROOT / "docs" / "licences.md").read_text("utf-8")
    listed = {
        name: row.split(" | ")[0].strip("| ")
        for row in written.splitlines()
        if row.startswith("| ")
        for name in re.findall(r"[a-z0-9-]+", row.partition(" | ")[2])
    }

    assert len(rows) > 20
    new = {name: said for name, said in packages().items() if not NVIDIA.match(name)}
    assert new.pop("triton", "MIT") == "MIT"  # the page names it in words
    assert {name: said for name, said in new.items() if listed.get(name) != said} == {}


@pytest.mark.parametrize("name", sorted(set().union(*NAMED.values())))
def test_what_asks_for_more_is_told_in_words(name):
    prose = (ROOT / "docs" / "licences.md").read_text("utf-8").partition("| licence |")[0]

    assert name in prose


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ("License-Expression: MIT OR GPL-3.0-only\nLicense: MIT", "MIT OR GPL-3.0-only"),
        ("License: Anything\nClassifier: License :: OSI Approved :: MIT License", "MIT"),
        ("Classifier: License :: OSI Approved", ""),
        ("License: UNKNOWN", ""),
        ("License: Apache 2.0", "Apache-2.0"),
        ("Classifier: License :: Other/Proprietary License", "Other/Proprietary License"),
    ],
)
def test_what_a_package_says(tmp_path, said, licence):
    from importlib.metadata import Distribution

    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: a\n{said}\n", "utf-8")

    assert licence_of(Distribution.at(tmp_path)) == licence
