"""What is wrong, counted, and the first of it kept: memory does not grow with faults."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from sixrayd.core.arrays import IntArray
from sixrayd.core.errors import printable
from sixrayd.validate.settings import MOST_TOLD, TreeFault

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
        self._count(file, 1)
        if len(self.first) < self._most:
            texts = (file, element, found, expected, advice)
            self.first.append(TreeFault(*(printable(text, _LONGEST) for text in texts)))

    def told(self, file: str, rows: Sequence[int] | IntArray) -> list[int]:
        """The rows of a file at fault that are to be told of one by one; the others are counted.

        A table has millions, of which no more than `MOST_TOLD` are ever shown.
        """
        shown = rows[:MOST_TOLD]
        if more := len(rows) - len(shown):
            self._count(file, more)
        return [int(row) for row in shown]

    def tells_of(self, file: str) -> bool:
        """Whether something is known to be wrong with a file, or with one beside it."""
        return self.kinds[self._kind(file)] > 0

    def _count(self, file: str, number: int) -> None:
        self.count += number
        self.kinds[self._kind(file)] += number

    def _kind(self, file: str) -> str:
        folder = PurePosixPath(file).parent.as_posix()
        kind = printable(file if folder == "." else folder, _LONGEST)
        return kind if kind in self.kinds or len(self.kinds) < _KINDS else _OTHERS
