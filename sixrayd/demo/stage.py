"""The demo: every stage once, with its real parts, on a synthetic release."""

import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pyarrow as pa

from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.benchmark.stage import benchmark
from sixrayd.browse.settings import BrowseSettings
from sixrayd.browse.stage import open_browser_session
from sixrayd.core.boxes import Box
from sixrayd.core.errors import CheckpointError, OtherWorkError, SettingsError
from sixrayd.core.files import plain_text, refuse_others, write_json
from sixrayd.core.index import Index
from sixrayd.core.printing import Terminal
from sixrayd.core.records import Kind, Source, State
from sixrayd.core.runs import as_plain
from sixrayd.core.tables import some_columns
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.demo.reviewer import (
    ReviewerSettings,
    join_as_reviewer,
    load_truth,
    review_as_person,
)
from sixrayd.demo.settings import DemoSettings
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.pretrained import find_weights
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import SampleSettings
from sixrayd.estimate.stage import estimate
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.stage import mine
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.server import Server, running_server
from sixrayd.review.planting.plant import plant
from sixrayd.review.planting.planted import planted_rows
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PlantSettings, PullSettings, PushSettings
from sixrayd.synth import synthesize
from sixrayd.synth.settings import SynthSettings
from sixrayd.train.settings import TrainSettings
from sixrayd.train.stage import train

_DOMAIN = "sixrayd.example"
_PLAN = re.compile(rb'(?s){\n  "classes": \[.*"duplicates": ')  # how settings of a demo begin
_LEAST_FLAGGED = 2500  # fewer leave no room for planted threats enough to prove anything


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo measured; the counts are of images unless they say otherwise."""

    images: int
    hidden: int
    candidates: int
    reviewed: int  # of the detector's candidates
    spot_checks: int
    planted: int  # planted threats and shams, to measure the reviewer
    found: int  # hidden images that review confirmed
    left_at_most: int  # hidden images, with 95 % confidence
    recall: float  # found / hidden
    precision: float  # found / reviewed
    exported_images: int
    exported_objects: int
    states: dict[str, int]
    validation_map: float
    seconds: dict[str, float]  # by stage
    look_at: dict[str, str] = field(default_factory=dict)


def demo(
    folder: Path,
    settings: DemoSettings = DemoSettings(),
    opened: Callable[[dict[str, str]], None] | None = None,
) -> DemoResult:
    """Run all stages in a folder; what is finished there already is not done again.

    Args:
        folder: gets `release`, `release-truth` and `workspace`.
        opened: called with the addresses of Label Studio and FiftyOne while both still run.

    Raises:
        SixraydError: a stage's own.
    """
    return _Demo(folder, settings).run(opened)


class _Demo:
    def __init__(self, folder: Path, settings: DemoSettings) -> None:
        self.folder, self.settings = folder, settings
        self.workspace = Workspace(folder / "workspace")
        self.release = folder / "release"
        self.seconds: dict[str, float] = {}
        self.console = Terminal(stderr=True)
        self.detector = self._pick_detector()

    def run(self, opened: Callable[[dict[str, str]], None] | None) -> DemoResult:
        with self._stage("synth"):
            self._synthesize()
        with self._stage("download"):
            download(self.workspace, DownloadSettings(release=str(self.release)))
        with self._stage("train"):
            trained = train(self.workspace, self._training())
        with self._stage("mine"):
            mined = mine(self.workspace, MineSettings())
        hidden = self._hidden()
        with ExitStack() as open_apps:
            with self._stage("serve"):
                serving = running_server(self.workspace, say=self._say)
                server = open_apps.enter_context(serving)
            with self._stage("sample"):
                self._strew(mined.flagged)
            with self._stage("review"):
                self._review(server, round(self.settings.budget * len(hidden)))
            with self._stage("estimate"):
                bound = estimate(self.workspace)
            with self._stage("export"):
                # Its own, which answers that have come since a demo before this one change.
                exported = export(self.workspace, ExportSettings(force=True))
            with self._stage("benchmark"):
                judged = benchmark(self.workspace, self._benchmark())
            self._show(server, opened)
        found = len(hidden & _found(Path(exported.tree)))
        kinds = Counter(row["kind"] for row in ReviewFolder(self.workspace, mined.name).tasks())
        reviewed = kinds[Kind.CANDIDATE]
        return DemoResult(
            images=self.settings.images,
            hidden=len(hidden),
            candidates=mined.flagged,
            reviewed=reviewed,
            spot_checks=kinds[Kind.SPOT_CHECK],
            planted=kinds[Kind.PLANTED] + kinds[Kind.SHAM],
            found=found,
            left_at_most=bound.images,
            recall=round(found / len(hidden), 4) if hidden else 1.0,
            precision=round(found / reviewed, 4) if reviewed else 0.0,
            exported_images=sum(exported.images.values()),
            exported_objects=sum(exported.origins.values()),
            states=dict(exported.states),
            validation_map=trained.validation.get("mean", 0.0),
            seconds=self.seconds,
            look_at={
                "learning curves": f"{trained.folder}/curves.png",
                "what is left": f"{bound.folder}/estimate.png",
                "exported dataset": exported.tree,
                "detectors and crops": f"{judged.folder}/report.html",
                "look at it": f"sixrayd browse -w {self.workspace.root}",
                "review more": f"sixrayd review serve -w {self.workspace.root}",
            },
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.console.print(name, style="bold")
        start = time.monotonic()
        try:
            yield
        except OtherWorkError as error:  # whose options a demo has not
            what = str(error).partition("; pass ")[0]
            raise SettingsError(
                f"{what}; a demo of other settings, of another version, or made elsewhere: name "
                f"another folder, or delete {self.folder}"
            ) from error
        self.seconds[name] = round(time.monotonic() - start, 1)

    def _say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)  # an address stays whole

    def truth(self) -> dict[str, tuple[Box, ...]]:
        """What is really in each image; no stage ever sees it."""
        return load_truth(self.folder / "release-truth" / "truth.csv")

    def _hidden(self) -> set[str]:
        negatives = Index.load(self.workspace).rows(source=Source.NEGATIVE)["image_id"]
        return set(negatives.to_pylist()) & self.truth().keys()

    def _pick_detector(self) -> str:
        detector = "rfb-lite0"
        try:
            find_weights(DETECTORS[detector].start)
        except CheckpointError as error:
            self._say(f"rfb-small instead of {detector}: {error}")
            return "rfb-small"
        return detector

    def _training(self) -> TrainSettings:
        # Also where there is a GPU: so few images teach the large detector nothing.
        # Synthetic contraband is large enough for a small input, which trains twice as fast.
        # What starts from pretrained weights needs fewer epochs, and fewer backgrounds in each.
        epochs, background = (10, 0.5) if DETECTORS[self.detector].start else (20, 1.0)
        return TrainSettings(
            detector=self.detector,
            input_size=256,
            epochs=self.settings.epochs or epochs,
            background=background,
            seed=self.settings.seed,
        )

    def _benchmark(self) -> BenchmarkSettings:
        # One detector and few images: enough to see every table, not to believe its figures.
        return BenchmarkSettings(
            detectors=(self.detector,),
            resamples=200,
            images=12,
            validation=10,
            timing=4,
            force=True,
        )

    def _synthesize(self) -> None:
        images, seed = self.settings.images, self.settings.seed
        settings = SynthSettings(images=images, seed=seed, positives=0.4, hidden=0.07, workers=2)
        truth = self.folder / "release-truth" / "truth.csv"
        plan = self.folder / "release.json"
        wanted = as_plain(asdict(settings))
        if self.release.exists() and truth.exists():
            if not plan.exists() or json.loads(plain_text(plan)) != wanted:
                raise SettingsError(
                    f"{self.release}: made with other settings; name another folder, or delete it"
                )
        else:
            refuse_others(plan, _PLAN, "settings of a demo")
            write_json(plan, wanted)
            synthesize(self.release, settings)

    def _strew(self, flagged: int) -> None:
        """Draw spot checks and plant threats, once."""
        name = self.workspace.newest("mine")
        if not (self.workspace.folder("estimate", name) / "sample.parquet").exists():
            negatives = Index.load(self.workspace).rows(source=Source.NEGATIVE).num_rows
            units = min(self.settings.checks, max(1, negatives // 10))
            wishes = SampleSettings(name, units, f"demo {self.settings.seed}")
            drawn = draw_sample(self.workspace, wishes)
            self._say(f"  {counted(drawn.images, 'image')} drawn at random")
        if flagged >= _LEAST_FLAGGED:
            planted = plant(self.workspace, PlantSettings(name, seed=self.settings.seed))
            self._say(
                f"  {counted(planted.planted, 'threat')} planted, "
                f"{counted(planted.shams, 'sham')} beside them"
            )

    def _review(self, server: Server, budget: int) -> None:
        """Send images, have them reviewed, bring the decisions back."""
        sent = push(self.workspace, PushSettings(limit=max(budget, 1)))
        self._say(f"  {counted(sent.added, 'image')} sent to {sent.address}")
        admin = Connection(server.url, server.token, local=True)
        with LabelStudio(admin) as label_studio:
            number = len(label_studio.reviewers())  # an interrupted demo's reviewer exists already
        person = join_as_reviewer(admin, f"reviewer{number}@{_DOMAIN}", secrets.token_urlsafe(12))
        wishes = ReviewerSettings(error_rate=self.settings.error_rate, seed=self.settings.seed)
        truth = self.truth()
        for row in planted_rows(self.workspace, sent.name):
            if row["kind"] == Kind.PLANTED:
                truth[row["image_id"]] = (Box.from_row(row),)
        folder = ReviewFolder(self.workspace, sent.name)
        project = folder.project()
        assert project is not None  # it has just been pushed
        names = folder.images_by_alias(project)
        counts = review_as_person(person, sent.project, truth, names, wishes)
        self._say(
            f"  {counted(counts.images, 'image')} reviewed, {counts.errors} of them wrongly "
            f"on purpose"
        )
        pull(self.workspace, PullSettings())

    def _show(self, server: Server, opened: Callable[[dict[str, str]], None] | None) -> None:
        """Open FiftyOne, and keep what is open up as long as the caller likes."""
        addresses = {
            "Label Studio": server.url,
            "sign in": f"{server.user}, password in {server.secret_file}",
        }
        with ExitStack() as open_apps:
            if self.settings.browse:
                with self._stage("browse"):
                    browsing = open_browser_session(self.workspace, BrowseSettings(port=0))
                    session = open_apps.enter_context(browsing)
                addresses["FiftyOne"] = session.url
                self._say(f"  {session.samples} samples at {session.url}")
            if opened is not None:
                opened(addresses)


def _found(tree: Path) -> set[str]:
    columns = [("image_id", pa.string()), ("state", pa.string())]
    table = some_columns(tree / "states.parquet", pa.schema(columns))
    return {row["image_id"] for row in table.to_pylist() if row["state"] == State.FOUND_POSITIVE}
