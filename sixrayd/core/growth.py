"""How much may come out of packed files, whatever they say: a multiple of their size, and more."""

from dataclasses import dataclass

FACTOR, FLOOR = 100, 256 << 20  # times the packed size, and bytes above it


@dataclass(slots=True)
class Allowance:
    """What files of so many packed bytes may still give, all together.

    Args:
        packed: bytes.
        floor: bytes that come out of any file.
    """

    packed: int = 0
    floor: int = FLOOR
    factor: int = FACTOR
    taken: int = 0

    @property
    def most(self) -> int:
        """Bytes in all."""
        return self.floor + self.factor * self.packed

    def take(self, count: int) -> None:
        """Take bytes, before or after they came.

        Raises:
            ValueError: they are too many.
        """
        self.check(self.taken + count)
        self.taken += count

    def check(self, count: int) -> None:
        """Refuse a number of bytes that is too many in all.

        Raises:
            ValueError: it is.
        """
        if count > self.most:
            raise ValueError(
                f"unpacks to more than {self.most} bytes, {self.factor} times its size and "
                f"{self.floor >> 20} MiB"
            )
