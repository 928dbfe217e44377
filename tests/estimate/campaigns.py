"""Small releases of near-duplicate groups whose review goes on step by step."""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.workspace import Workspace
from tests.workspaces import (
    MISSED,
    NOTHING,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
)

GUN = (("Gun", 1, 1, 9, 9, "drawn", ""),)


def name_of(number):
    return f"N{number:07d}"


@dataclass
class Campaign:
    """A release of negatives, the images flagged in it, and what reviewers say pull by pull."""

    workspace: Workspace
    flagged: list
    rounds: list = field(default_factory=list)
    name: str = "first"

    @classmethod
    def build(cls, root, sizes, flagged=()):
        """Groups of these sizes, their images numbered on; `flagged` are numbers of images."""
        workspace = Workspace(root)
        build_shards(workspace, [Picture(name_of(n + 1)) for n in range(sum(sizes))], 500)
        set_groups(workspace, sizes)
        build_mine(workspace, "first", [name_of(n) for n in flagged])
        campaign = cls(workspace, [name_of(n) for n in flagged])
        campaign.pull()
        return campaign

    def pull(self, *says):
        """One more table of decisions."""
        self.rounds += [list(says)] if says else []
        build_review(self.workspace, self.name, self.flagged, self.rounds)

    def clear(self, *image_ids):
        self.pull(*(Says(image_id, NOTHING) for image_id in image_ids))

    def find(self, *image_ids, boxes=GUN):
        self.pull(*(Says(image_id, MISSED, boxes) for image_id in image_ids))


def set_groups(workspace, sizes):
    """Let consecutive negatives make groups of these sizes, named after their first image."""
    path = workspace.shards / "index.parquet"
    table = pq.read_table(path)
    groups, first = [], 1
    for size in sizes:
        groups += [name_of(first)] * size
        first += size
    place = table.schema.get_field_index("group")
    table = table.set_column(place, INDEX_SCHEMA.field("group"), pa.array(groups))
    pq.write_table(table.cast(INDEX_SCHEMA), path)


def sample_rows(workspace, name="first"):
    """(image, group, stratum, place, draw) of a sample's rows."""
    table = pq.read_table(workspace.folder("estimate", name) / "sample.parquet")
    return [tuple(row.values()) for row in table.to_pylist()]
