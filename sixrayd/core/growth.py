"""How much may come out of files, whatever they say: a multiple of their size, and more."""

from dataclasses import dataclass

FACTOR, FLOOR = 100, 64 << 20  # times the packed size, and bytes above it
_PIXELS_A_BYTE = 200  # photographs have about 10, flat drawings 100
_MOST_PIXELS = 2_000_000_000  # above that


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


@dataclass(slots=True)
class PixelAllowance:
    """What may be decoded of images, all together: one of usual size always may.

    Args:
        size: bytes of images that were taken.
        pixels: of them.
    """

    size: int = 0
    pixels: int = 0

    def take(self, size: int, pixels: int) -> None:
        """Take an image.

        Args:
            pixels: that decoding goes over.

        Raises:
            ValueError: they are too many.
        """
        if self.pixels + pixels > _MOST_PIXELS + _PIXELS_A_BYTE * (self.size + size):
            raise ValueError(
                f"{pixels} pixels, each scan counted, in {size} bytes, after {self.pixels} in "
                f"{self.size}; at most {_PIXELS_A_BYTE} for each byte of all images and "
                f"{_MOST_PIXELS} are decoded"
            )
        self.size, self.pixels = self.size + size, self.pixels + pixels
