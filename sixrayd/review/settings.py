"""What the commands of the review are asked for."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import APART, POSITIVES, Rule
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.review.server import LABEL_STUDIO
from sixrayd.statistics.drawing import MOST_DRAWN

MOST_BOXES = 20  # in an image; more hide it
MOST_SHARE = 0.02  # of a review's images: reviewers must not come to expect planted ones


@dataclass(frozen=True, slots=True)
class PushSettings:
    """What is sent where.

    Args:
        name: of the review, which is the mining's; empty takes the newest mining.
        origin: "mining" sends a mining's candidates with spot checks and planted images strewn
            in, "positives" labelled positives whose boxes are in doubt, "tags" what was tagged in
            `sixrayd browse`, though it be decided.
        limit: images of the queue altogether, up to the end of a group of near-duplicates; spot
            checks and planted ones come on top.
        reviewers: how many see an image, each in a lane of their own.
        share: of the images that go to the second and later reviewers.
        confirm_finds: share of the finds of one reader that go to a second person.
        duplicates: send negatives that resemble a known positive as well.
        again: send images, too, that were decided in other reviews.
        guidelines: Markdown that reviewers are told instead of ours; kept with the review.
        boxes: of a mining's candidates, drawn in an image; the others stay with the mining.
        draw_from: least score of such a box; by default the one from which on half of the boxes
            drawn in known positives are right.

    Raises:
        SettingsError: out of range.
    """

    name: str = ""
    origin: Literal["mining", "positives", "tags"] = "mining"
    limit: int | None = None
    reviewers: int = 1
    share: float = 1.0
    confirm_finds: float = 0.0
    duplicates: bool = False
    again: bool = False
    guidelines: Path | None = field(default=None, metadata=OUTSIDE)
    boxes: int = MOST_DRAWN
    draw_from: float | None = None
    url: str = field(default="", metadata=OUTSIDE)  # empty takes the workspace's own server
    token_file: Path | None = field(default=None, metadata=OUTSIDE)
    server: str = LABEL_STUDIO  # a key of `SERVERS`

    def __post_init__(self) -> None:
        if not 0 <= self.boxes <= MOST_BOXES:
            raise SettingsError(f"--boxes {self.boxes}: expected 0 to {MOST_BOXES}")
        if self.draw_from is not None and not 0 <= self.draw_from <= 1:
            raise SettingsError(f"--draw-from {self.draw_from:g}: expected 0 to 1")
        if self.origin not in ("mining", *APART):
            raise SettingsError(f"--from {self.origin!r}: expected mining, {' or '.join(APART)}")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"--limit {self.limit}: expected 1 or more")
        if not 1 <= self.reviewers <= 9:
            raise SettingsError(f"--reviewers {self.reviewers}: expected 1 to 9")
        if not 0 <= self.share <= 1:
            raise SettingsError(f"--share {self.share}: expected 0 to 1")
        if not 0 <= self.confirm_finds <= 1:
            raise SettingsError(f"--confirm-finds {self.confirm_finds}: expected 0 to 1")
        if self.confirm_finds and self.origin == POSITIVES:
            raise SettingsError(f"--confirm-finds: nothing is found in --from {POSITIVES}")


@dataclass(frozen=True, slots=True)
class AdjudicateSettings:
    """Which conflicts go to an adjudicator."""

    name: str = ""  # of the review; empty takes the newest
    consensus: Rule = Rule.ADJUDICATOR
    url: str = field(default="", metadata=OUTSIDE)
    token_file: Path | None = field(default=None, metadata=OUTSIDE)
    server: str = LABEL_STUDIO  # a key of `SERVERS`


@dataclass(frozen=True, slots=True)
class PracticeSettings:
    """How many images how many people practise on, where.

    Args:
        invite: make a link for each person by which a new one joins.

    Raises:
        SettingsError: none, or more than 200 images or 20 people.
    """

    number: int = 10
    people: int = 1
    invite: bool = False
    url: str = field(default="", metadata=OUTSIDE)  # empty takes the workspace's own server
    token_file: Path | None = field(default=None, metadata=OUTSIDE)
    server: str = LABEL_STUDIO  # a key of `SERVERS`

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 200:
            raise SettingsError(f"--number {self.number}: expected 1 to 200")
        if not 1 <= self.people <= 20:
            raise SettingsError(f"--people {self.people}: expected 1 to 20")


@dataclass(frozen=True, slots=True)
class PullSettings:
    """What is fetched from where."""

    name: str = ""  # of the review; empty takes the newest
    full: bool = False  # ask for all annotations, not for those that changed
    url: str = field(default="", metadata=OUTSIDE)  # empty takes the workspace's own server
    token_file: Path | None = field(default=None, metadata=OUTSIDE)
    server: str = LABEL_STUDIO  # a key of `SERVERS`


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Which review, on which server."""

    name: str = ""  # of the review; empty takes the newest
    url: str = field(default="", metadata=OUTSIDE)  # empty takes the workspace's own server
    token_file: Path | None = field(default=None, metadata=OUTSIDE)
    server: str = LABEL_STUDIO  # a key of `SERVERS`


@dataclass(frozen=True, slots=True)
class InviteSettings:
    """Whom to which review, on which server."""

    name: str = ""  # of the review; empty takes the newest
    renew: bool = False  # have no link given so far let anybody in
    url: str = field(default="", metadata=OUTSIDE)  # empty takes the workspace's own server
    token_file: Path | None = field(default=None, metadata=OUTSIDE)
    server: str = LABEL_STUDIO  # a key of `SERVERS`


@dataclass(frozen=True, slots=True)
class TakeOverSettings:
    """Whose rest goes to whom: lanes, by what `review status` calls their reviewers."""

    of: str
    by: str
    dry_run: bool = False
    name: str = ""  # of the review; empty takes the newest
    url: str = field(default="", metadata=OUTSIDE)  # empty takes the workspace's own server
    token_file: Path | None = field(default=None, metadata=OUTSIDE)
    server: str = LABEL_STUDIO  # a key of `SERVERS`


@dataclass(frozen=True, slots=True)
class AgreementSettings:
    """Which review, and how its intervals are drawn.

    Raises:
        SettingsError: no resamples.
    """

    name: str = ""  # empty takes the newest
    rule: Rule = Rule.ADJUDICATOR  # what is a conflict, and what reviewers are compared with
    resamples: int = 1000
    seed: int = 0
    pseudonyms: bool = False  # in what is written and returned

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise SettingsError(f"resamples: need 1 or more, got {self.resamples}")


@dataclass(frozen=True, slots=True)
class NextSettings:
    """Which review's folder takes the set, how reviewers who differ are settled, which split."""

    name: str = ""  # of the review; empty takes the newest
    rule: Rule = Rule.ADJUDICATOR
    split: str = ""  # a given split; empty is the ingest's own


@dataclass(frozen=True, slots=True)
class WithdrawSettings:
    """Which decisions, by whom, and why.

    Raises:
        SettingsError: no image, no reason, or nobody is named.
    """

    images: tuple[str, ...]
    reason: str
    by: str = field(metadata=OUTSIDE)
    reviewer: str = ""  # whose decisions; empty means everybody's
    name: str = ""  # of the review; empty takes the newest

    def __post_init__(self) -> None:
        for option in ("images", "reason", "by"):
            if not getattr(self, option):
                raise SettingsError(f"--{option}: needs to be said, it is kept with the decision")


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """How many threats are planted where.

    Args:
        name: of the mining and its review; the newest mining by default.
        share: of the mining's flagged images, at most 0.02.
        shams: images that are only encoded again, for each planted one.
        seed: the same seed gives the same bytes.
        origin: "projections" plants items in clean negatives, "positives" strews in labelled
            positives as they are.
        number: of known positives; 0 takes the share.
        even_so: plant even where so few can only widen the bound.

    Raises:
        SettingsError: out of range.
    """

    name: str = ""
    share: float = MOST_SHARE
    shams: float = 1.0
    seed: int = 0
    origin: Literal["projections", "positives"] = "projections"
    number: int = 0
    even_so: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= MOST_SHARE:
            raise SettingsError(f"share {self.share:g}: needs to be above 0, at most {MOST_SHARE}")
        if self.origin not in ("projections", POSITIVES):
            raise SettingsError(f"--from {self.origin!r}: expected projections or {POSITIVES}")
        if self.number < 0 or (self.number and self.origin != POSITIVES):
            raise SettingsError(
                f"--number {self.number}: expected 1 or more, with --from {POSITIVES}"
            )
        if not 0 <= self.shams < math.inf or self.seed < 0:
            raise SettingsError(f"shams {self.shams:g}, seed {self.seed}: need to be 0 or more")
