"""What is wrong, counted, and the first of it kept: memory does not grow with faults."""

from collections import Counter
from pathlib import PurePosixPath

from sixrayd.core.errors import printable
from sixrayd.validate.settings import TreeFault

AGAIN = "copy the export anew, or write it again with `sixrayd export --force`"
_LONGEST = 200  # signs of what a stranger's file says
_KINDS, _OTHERS = 1000, "others"  # files and folders that are told apart


class FaultList:
    """Faults as they are met."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0
        self.first: list[TreeFault] = []
        self.kinds: Counter[str] = Counter()

    def add(
        self, file: str, element: str, found: object, expected: object, advice: str = AGAIN
    ) -> None:
        """Take note of one."""
        self.count += 1
        folder = PurePosixPath(file).parent.as_posix()
        kind = printable(file if folder == "." else folder, _LONGEST)
        self.kinds[kind if kind in self.kinds or len(self.kinds) < _KINDS else _OTHERS] += 1
        if len(self.first) < self._most:
            texts = (file, element, found, expected, advice)
            self.first.append(TreeFault(*(printable(text, _LONGEST) for text in texts)))
