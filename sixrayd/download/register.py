"""Which images are listed and which have come: on disk, so that memory stays flat at a million."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter


class Register:
    """Listed images with their classes as bits, and those that came with the hash of their bytes.

    Kept in a file that has no name and is gone when the process ends.
    """

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4096;"
            "CREATE TABLE listed (image_id TEXT PRIMARY KEY, bits INT, place INT) WITHOUT ROWID;"
            "CREATE TABLE come (image_id TEXT PRIMARY KEY, digest BLOB, path TEXT) WITHOUT ROWID;"
            "CREATE TABLE again (image_id TEXT, digest BLOB, path TEXT);"
            "BEGIN"
        )
        self._places: list[str] = []  # files that list images
        self.listed = 0
        self.come = 0

    def list(self, image_id: str, bits: int, place: str) -> tuple[int, str] | None:
        """Note that a file lists an image; where others did, any class that one names counts.

        Returns:
            Bits and file of an earlier listing that differs, else None.
        """
        if not self._places or self._places[-1] != place:
            self._places.append(place)
        found = self._base.execute(
            "SELECT bits, place FROM listed WHERE image_id = ?", (image_id,)
        ).fetchone()
        if found is None:
            self.listed += 1
            row = (image_id, bits, len(self._places) - 1)
            self._base.execute("INSERT INTO listed VALUES (?, ?, ?)", row)
        elif found[0] != bits:
            both = (found[0] | bits, len(self._places) - 1, image_id)
            self._base.execute("UPDATE listed SET bits = ?, place = ? WHERE image_id = ?", both)
            return found[0], self._places[found[1]]
        return None

    def bits(self, image_id: str) -> int | None:
        """Classes of a listed image, None for one that is not listed."""
        found = self._base.execute(
            "SELECT bits FROM listed WHERE image_id = ?", (image_id,)
        ).fetchone()
        return None if found is None else found[0]

    def take(self, image_id: str, digest: bytes, path: str) -> bytes | None:
        """Note that an image has come.

        Returns:
            The digest of one of that name that came before, else None.
        """
        try:
            self._base.execute("INSERT INTO come VALUES (?, ?, ?)", (image_id, digest, path))
        except sqlite3.IntegrityError:
            self._base.execute("INSERT INTO again VALUES (?, ?, ?)", (image_id, digest, path))
            query = "SELECT digest FROM come WHERE image_id = ?"
            return bytes(self._base.execute(query, (image_id,)).fetchone()[0])
        self.come += 1
        return None

    def namesakes(self) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        """Ids under which images came that differ: the paths of the first, and of the others."""
        query = (
            "SELECT image_id, come.path, again.path, come.digest = again.digest FROM come"
            " JOIN again USING (image_id) ORDER BY image_id, again.rowid"
        )
        for image_id, rows in groupby(self._base.execute(query), key=itemgetter(0)):
            found = list(rows)
            others = [path for _, _, path, same in found if not same]
            if others:
                yield image_id, [found[0][1], *(row[2] for row in found if row[3])], others

    def has_come(self, image_id: str) -> bool:
        """Whether an image has come."""
        query = "SELECT 1 FROM come WHERE image_id = ?"
        return self._base.execute(query, (image_id,)).fetchone() is not None

    def absent(self) -> Iterator[str]:
        """Listed images that have not come, sorted."""
        return self._ids("SELECT image_id FROM listed EXCEPT SELECT image_id FROM come ORDER BY 1")

    def unlisted(self) -> Iterator[str]:
        """Images that have come and are not listed, sorted."""
        return self._ids("SELECT image_id FROM come EXCEPT SELECT image_id FROM listed ORDER BY 1")

    def _ids(self, query: str) -> Iterator[str]:
        for (image_id,) in self._base.execute(query):
            yield image_id
