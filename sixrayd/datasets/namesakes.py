"""Images that share a name and differ: of which of them a label speaks, by the folders of both."""

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import OnFault

_ROLES = frozenset(  # folders that only tell labels from images
    ("annotation", "annotations", "labels", "image", "images", "jpegimage", "jpegimages")
)
_MOST, _MOST_COPIES = 100, 10  # paths of images of one name, and of a label, that are compared
_MOST_FOLDERS = 100  # above a file, that are compared
_ARCHIVE = re.compile(r"\.(zip|tar|tgz|gz|rar)$", re.IGNORECASE)
_T = TypeVar("_T")

Fit = tuple[int, bool, bool]
_NONE: Fit = (-1, False, False)


@dataclass(frozen=True, slots=True)
class Label:
    """Where a label of an image lies.

    Args:
        where: names it in messages.
        places: paths that it has, be it as copies; each as one or more readings of it.
    """

    where: str
    places: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Namesakes:
    """Paths of the image that is kept, and of others of its name that differ from it."""

    kept: tuple[str, ...]
    others: tuple[str, ...]

    def own(
        self, said: Iterable[tuple[Label, _T]], on_error: OnFault, findings: list[Finding]
    ) -> list[_T]:
        """What speaks of the kept image.

        Args:
            findings: told of what does not, or may not.

        Raises:
            AnnotationError: nothing does, or (with "stop") of something it cannot be told.
        """
        chosen, text = [], ""
        for label, thing in said:
            speaks = self._is_meant(label)
            if speaks:
                chosen.append(thing)
                continue
            here, there = self.kept[0], self.others[0]
            if speaks is None:
                text = f"{here} and {there} differ; which of them is meant cannot be told"
                flaw = Flaw.UNREADABLE_LABELS
            else:
                text, flaw = f"speaks of {there}, another image than {here}", Flaw.OTHER_IMAGE
            if speaks is None and on_error == "stop":
                raise AnnotationError(f"{label.where}: {text}; rename one of them with its labels")
            findings.append(Finding(flaw, label.where, f"{text}; left out"))
        if not chosen and text:
            raise AnnotationError(f"{label.where}: {text}; rename one of them with its labels")
        return chosen

    def _is_meant(self, label: Label) -> bool | None:
        """Whether the kept image is meant; None where it cannot be told."""
        if len(self.others) > _MOST:
            return None
        answers = []
        for readings in label.places[:_MOST_COPIES]:
            kept, other = (
                max(_fit(reading, path) for reading in readings for path in paths)
                for paths in (self.kept[:_MOST], self.others)
            )
            answers.append(None if kept == other else kept > other)
        return True if True in answers else None if None in answers else False


def label_of(where: str, copies: Mapping[str, Sequence[str]]) -> Label:
    """That of a file, which may have copies elsewhere."""
    return Label(where, ((where,), *((copy,) for copy in copies.get(where, ()))))


def _fit(label: str, image: str) -> Fit:
    """How well a label's path leads to an image's: folders in common, all of them, the name.

    The folders of one must be the last of the other's, and are at least one or the same.
    """
    ours, theirs = _telling(label), _telling(image)
    shorter = min(len(ours), len(theirs))
    if ours != theirs and (not shorter or ours[-shorter:] != theirs[-shorter:]):
        return _NONE
    return shorter, ours == theirs, posixpath.basename(label) == posixpath.basename(image)


@lru_cache(4 * _MOST)
def _telling(path: str) -> Sequence[str]:
    folders = posixpath.normpath(path).split("/")[:-1][-_MOST_FOLDERS:]
    return [f for f in folders if f.lower() not in _ROLES and not _ARCHIVE.search(f)]
