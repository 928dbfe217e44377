"""Which side of a given split a file's name, folder or list puts an image on.

Validation counts as training: what chooses a model is no test of it.
"""

import posixpath
import re

from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import MOST_LINES, count_lines
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.image_ids import image_id
from sixrayd.core.records import LEAK_FREE
from sixrayd.datasets.places import IMAGES

TRAIN, TEST = "train", "test"
NEITHER = ""  # the side of an image that lists put on both
GIVEN = "given"  # the split of a set that gives one
SIXRAY_D = "sixray-d"
SPLIT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.IGNORECASE | re.ASCII)
_LISTED = IMAGES | {".xml"}  # suffixes that lists write
_MOST_BAD = 1_000  # names of a list that are none
_LIST_FOLDERS = ("", "imageset", "imagesets", "main")
_WORDS = {
    **dict.fromkeys(("train", "training", "trainval", "val", "valid", "validation"), TRAIN),
    **dict.fromkeys(("test", "testing"), TEST),
}


class GivenSides:
    """Image id → side.

    An image on both sides is a test image where folders or names of files put it there, and on
    neither side where lists of images do.
    """

    def __init__(self, findings: list[Finding], by_lists: bool = False) -> None:
        self.found: dict[str, str] = {}
        self._findings = findings
        self._both, self._text = (
            (NEITHER, "on neither side") if by_lists else (TEST, "taken for test")
        )

    def add(self, image: str, side: str, where: str) -> None:
        """Put an image on a side, as `where` says."""
        other = self.found.setdefault(image, side)
        if other not in (side, NEITHER):
            text = f"puts {image} in {side}, another file in {other}; {self._text}"
            self._findings.append(Finding(Flaw.TWO_SIDES, where, text))
            self.found[image] = self._both


def split_of_list(where: str) -> str:
    """What a list's split is called, by its folder: `sixray10` of `10`, others by their name."""
    plain = where.rpartition("/")[0].rpartition("/")[2].lower()
    if plain.isascii() and plain.isdecimal():
        return f"sixray{plain[:50]}"
    if plain in _LIST_FOLDERS or plain.endswith((".zip", ".gz", ".tgz", ".tar")):
        return GIVEN
    return plain if SPLIT_NAME.fullmatch(plain) and plain != LEAK_FREE else GIVEN


def split_of_tree(where: str) -> str:
    """What the split is called that folders `train` and `test` make."""
    return SIXRAY_D if "sixray-d" in where.lower() else GIVEN


def side_of_word(word: str) -> str:
    """Of `train`, `val`, `test` and their like, with a year behind it or not; else empty."""
    return _WORDS.get(word.lower().strip("0123456789-_. "), "")


def side_of_folders(where: str) -> str:
    """The side that the innermost telling folder of a path names; empty where none does."""
    return next(filter(None, map(side_of_word, reversed(_folders(where)))), "")


def side_of_name(where: str) -> str:
    """The side that a file's own name tells, or else its folders do; empty where none does."""
    words = re.findall(r"[a-z]+", posixpath.basename(where).lower())
    return next((_WORDS[word] for word in words if word in _WORDS), "") or side_of_folders(where)


def _folders(where: str) -> list[str]:
    return where.split("/")[:-1]


def is_too_long(data: bytes, where: str, findings: list[Finding]) -> bool:
    """Whether a list has more lines than are read, which is a finding then."""
    if count_lines(data) <= MOST_LINES:
        return False
    text = f"more than {MOST_LINES} lines; left out"
    findings.append(Finding(Flaw.NOT_READ, where, text))
    return True


def are_too_many(bad: list[Finding], where: str) -> bool:
    """Whether so many names of a list are none that it is no list, which is a finding then."""
    if len(bad) < _MOST_BAD:
        return False
    bad.append(Finding(Flaw.NOT_READ, where, "names no images; the rest left out"))
    return True


def image_of(path: str, findings: list[Finding], where: str = "") -> str:
    """The id of the image that a path's stem names; empty, with a finding, where it is none.

    Args:
        where: names the path in the finding, where it is no file's own.
    """
    return _image_of_stem(posixpath.splitext(posixpath.basename(path))[0], findings, where or path)


def listed_image_of(name: str, findings: list[Finding], where: str) -> str:
    """As `image_of`, of what a list names; see `listed_stem`."""
    return _image_of_stem(listed_stem(name), findings, where)


def listed_stem(name: str) -> str:
    """The stem of the image that a list names, with or without folder and suffix.

    A stem may have a dot of its own.
    """
    name = posixpath.basename(name.replace("\\", "/"))
    stem, suffix = posixpath.splitext(name)
    return stem if suffix.lower() in _LISTED else name


def _image_of_stem(stem: str, findings: list[Finding], where: str) -> str:
    try:
        return image_id(stem)
    except ReleaseError as error:
        findings.append(Finding(Flaw.BAD_NAME, where, str(error)))
        return ""
