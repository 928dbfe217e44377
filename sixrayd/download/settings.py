"""What the ingest is told, and what it says in the end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sixrayd.core.classes import ClassList, check_few, default_classes
from sixrayd.core.cores import Engine, check_engine
from sixrayd.core.errors import SettingsError
from sixrayd.core.records import MAX_NEAR_BITS, NEAR_BITS
from sixrayd.core.settings_file import OUTSIDE

OnError = Literal["stop", "skip"]


@dataclass(frozen=True, slots=True)
class DownloadSettings:
    """How a release is taken.

    Raises:
        SettingsError: a value is out of range.
    """

    # A folder, an archive, the URL of a folder, a manifest, or the name of one.
    release: str = field(metadata=OUTSIDE)
    classes: tuple[str, ...] = field(default_factory=default_classes)
    seed: int = 0  # of the train/test membership
    test_share: float = 0.1  # of the near-duplicate groups, 0..1
    images_per_shard: int = 2000
    hash_distance: int = NEAR_BITS  # of 256, in which the hashes of near-duplicates may differ
    on_error: OnError = "stop"
    split: tuple[str, ...] = field(default=(), metadata=OUTSIDE)  # FILE, or NAME=FILE
    force: bool = False  # replace a finished ingest of something else
    # A folder, an archive or a URL to take a release of a manifest from.
    source: str = field(default="", metadata=OUTSIDE)
    connections: int = 4  # files that are fetched at once
    keep_archives: bool = True  # those that were fetched, once they are taken in
    chosen: bool = False  # classes are a choice: what else labels name is left out
    engine: Engine = "local"  # that measures shards, "ray" on a cluster
    # Of a Ray cluster; empty starts one on this machine.
    address: str = field(default="", metadata=OUTSIDE)
    shards_at: str = field(default="", metadata=OUTSIDE)  # URL of a folder that takes them as well
    made_by: str = ""  # the command that takes the release for itself; empty for the user

    def __post_init__(self) -> None:
        ClassList(self.classes)
        check_few(self.classes, "--classes")
        if not 0 <= self.test_share < 1:
            raise SettingsError(f"test-share: need 0 or more and below 1, got {self.test_share}")
        if self.images_per_shard < 1:
            raise SettingsError(f"images-per-shard: need 1 or more, got {self.images_per_shard}")
        if not 0 <= self.hash_distance <= MAX_NEAR_BITS:
            raise SettingsError(
                f"hash-distance: need 0 to {MAX_NEAR_BITS} bits, got {self.hash_distance}"
            )
        if not 1 <= self.connections <= 32:
            raise SettingsError(f"connections: need 1 to 32, got {self.connections}")
        if self.on_error not in ("stop", "skip"):
            raise SettingsError(f"on-error: need stop or skip, got {self.on_error!r}")
        check_engine(self.engine, self.address)


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """Counts of a finished ingest; images = positives + negatives, unreadable ones among them."""

    images: int
    positives: int
    negatives: int
    unreadable: int
    train: int
    test: int
    boxes: int
    duplicate_groups: int  # near-duplicate groups of two or more
    negatives_like_positives: int  # negatives in a group with a positive
    unannotated: int  # positives without a usable XML
    boxless: int  # positives whose XML holds no usable box
    negatives_with_boxes: int  # by the image sets; positives for their boxes
    notes: int  # on repairs in annotations and on lists that differ, in notes.txt
    merged: int  # files that repeat another byte for byte
    absent: int  # images that the image sets list and the release lacks
    skipped: int  # faults, listed in skipped.jsonl
    contradictions: int = 0  # listings that name other classes of an image than one before
    # Files that are neither image nor text nor archive, by suffix.
    passed_over: Mapping[str, int] = field(default_factory=dict)
    # Boxes left out by class: of those that labels name and `classes` does not, and of Hammer.
    other_classes: Mapping[str, int] = field(default_factory=dict)
    # Given splits by name: images train and test, groups_on_both_sides, listed not_in_release.
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
