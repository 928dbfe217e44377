"""What can be drawn: the units of a release's negatives, fixed when the first draw is made.

A *unit* is a near-duplicate group. Those that were decided before the first draw are the *census*;
the others lie in strata, by how likely a detector thinks them to hold something. Those of the
census that reviewers saw without proposals, as checks of an earlier sample, are marked as such.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.arrays import IntArray
from sixrayd.core.errors import WorkspaceError

CENSUS = ""  # stratum of units that were decided before the first draw
CHECKED = "decided in checks"  # of those that reviewers saw without proposals; census as well
_PAIR = ("image_id", "group")

# estimate/NAME/population.parquet: every readable negative, by image id.
POPULATION_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
        pa.field("stratum", pa.string(), nullable=False),  # or CENSUS, or CHECKED
    ]
)


@dataclass(frozen=True, eq=False)
class Population:
    """The units of a release's negatives, by name.

    Args:
        table: of `POPULATION_SCHEMA`.

    Raises:
        WorkspaceError: an image occurs twice, or a unit is in two strata.
    """

    table: pa.Table

    def __post_init__(self) -> None:
        if pc.count_distinct(self.table["image_id"]).as_py() < len(self.table):
            raise WorkspaceError("population: an image occurs twice")
        if len(self.row) < len(self.groups):
            raise WorkspaceError("population: a unit is in two strata")

    @cached_property
    def _units(self) -> dict[str, list[Any]]:
        units = self.table.group_by(["group", "stratum"]).aggregate([([], "count_all")])
        columns: dict[str, list[Any]] = units.sort_by("group").to_pydict()
        return columns

    @property
    def groups(self) -> list[str]:
        """(U,) names of the units, sorted."""
        return self._units["group"]

    @cached_property
    def row(self) -> dict[str, int]:
        """Place of a unit in `groups`."""
        return {group: row for row, group in enumerate(self.groups)}

    @cached_property
    def sizes(self) -> IntArray:
        """(U,) images of each unit."""
        return np.array(self._units["count_all"], np.int64)

    @cached_property
    def strata(self) -> tuple[str, ...]:
        """Their names in order, without the census."""
        return tuple(sorted(set(self._units["stratum"]) - {CENSUS, CHECKED}))

    @cached_property
    def members(self) -> dict[str, IntArray]:
        """Rows of the units of each stratum, and of the census."""
        names = np.array(self._units["stratum"], object)
        names[names == CHECKED] = CENSUS
        return {name: np.flatnonzero(names == name) for name in (CENSUS, *self.strata)}

    @property
    def checked_before(self) -> bool:
        """Whether some of the census was decided without proposals."""
        return CHECKED in self._units["stratum"]

    @property
    def undecided_at_first(self) -> int:
        """Units outside the census."""
        return len(self.groups) - len(self.members[CENSUS])

    def named_by_others(self) -> int:
        """Units whose name is no image of theirs, as when a positive of the group has it.

        Random numbers hang on these names, so whoever may choose them chooses what is drawn.

        Raises:
            WorkspaceError: a name can be no smallest image id of its group.
        """
        units = self.table.group_by("group").aggregate([("image_id", "min")])
        strange = units.filter(pc.not_equal(units["group"], units["image_id_min"]))
        images = set(self.table["image_id"].to_pylist()) if len(strange) else set()
        for row in strange.to_pylist():
            unit, least = row["group"], row["image_id_min"]
            if unit > least or unit in images:
                raise WorkspaceError(
                    f"population: group {unit} is not named by its smallest image, {least}"
                )
        return len(strange)

    def rows_of(self, image_ids: Iterable[str]) -> dict[str, int]:
        """Unit of each image; images that are not in the population are left out."""
        wanted = pa.array(sorted(image_ids), pa.string())
        found = self.table.filter(pc.is_in(self.table["image_id"], wanted))
        names = zip(*(found[key].to_pylist() for key in _PAIR), strict=True)
        return {image_id: self.row[group] for image_id, group in names}

    def images_of(self, groups: Iterable[str]) -> dict[str, list[str]]:
        """Images of some units, sorted."""
        wanted = pa.array(sorted(groups), pa.string())
        chosen = self.table.filter(pc.is_in(self.table["group"], wanted))
        found: dict[str, list[str]] = {}
        for image_id, group in zip(*(chosen[k].to_pylist() for k in _PAIR), strict=True):
            found.setdefault(group, []).append(image_id)
        return found
