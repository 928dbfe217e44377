"""Drawing spot checks: `estimate/NAME/sample.parquet`, which `sixrayd review push` sends."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.arrays import IntArray
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import plain_text, sha256_file, write_json
from sixrayd.core.records import SAMPLE_SCHEMA, Rule
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import said_in_all
from sixrayd.estimate.reading import (
    answers_by,
    negatives,
    population_now,
    review_name,
)
from sixrayd.estimate.settings import SampleSettings
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.population import POPULATION_SCHEMA, Population
from sixrayd.statistics.sampling import (
    GONE_SCHEMA,
    Draw,
    Drawn,
    SamplingPlan,
    allocate,
    gone_digest,
)
from sixrayd.statistics.standing import Answer, Standing

_BACK = "put it back from a backup"


@dataclass(frozen=True, slots=True)
class SampleResult:
    """What has been drawn; units by stratum."""

    name: str
    file: str
    draw: int
    units: Mapping[str, int]
    pools: Mapping[str, int]  # that they were drawn from
    images: int
    units_in_all: int  # of all draws
    looks: int  # that were planned; 0 where draws have any size
    commitment: str
    finished: bool  # an interrupted draw, and nothing else
    again: bool = False  # a look that was drawn before, and nothing else


class SampleFolder:
    """`estimate/NAME/`: the population, what was drawn of it, and what left it.

    The plan is `draws.json`. It is written before the sample, which follows from it: a draw that
    is in the plan and not in the sample was interrupted.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.path = workspace.folder("estimate", name)
        self.plan_file, self.sample_file = self.path / "draws.json", self.path / "sample.parquet"
        self.population_file = self.path / "population.parquet"
        self.gone_file = self.path / "gone.parquet"

    def plan(self) -> SamplingPlan | None:
        """The plan, or None before the first draw.

        Raises:
            WorkspaceError: it is broken, or gone while the sample is there.
        """
        try:
            return SamplingPlan.parse(parse_json(plain_text(self.plan_file)))
        except FileNotFoundError as error:
            if self.sample_file.exists():
                raise WorkspaceError(
                    f"{self.plan_file}: missing, and {self.sample_file.name} hangs on it; put it "
                    "back from a backup"
                ) from error
            return None
        except NONSENSE as error:
            raise WorkspaceError(
                f"{self.plan_file}: broken; put it back from a backup, the sample hangs on it"
            ) from error
        except WorkspaceError as error:
            raise WorkspaceError(f"{self.plan_file}: {error}; {_BACK}") from error

    def population(self, plan: SamplingPlan) -> Population:
        """The population as it was at the first draw.

        Raises:
            WorkspaceError: it has changed since, or the release has.
        """
        if not self.population_file.exists() or sha256_file(self.population_file) != (
            plan.population
        ):
            raise WorkspaceError(
                f"{self.population_file}: not the file that the sample was drawn from; put it back "
                "from a backup"
            )
        table = read_table(self.population_file, POPULATION_SCHEMA)
        if not table.select(["image_id", "group"]).equals(negatives(self.workspace)):
            raise WorkspaceError(
                f"{self.population_file}: the release has other negatives or near-duplicates now; "
                f"put it back, or remove {self.path} and draw again"
            )
        try:
            return Population(table)
        except WorkspaceError as error:
            raise WorkspaceError(f"{self.population_file}: {error}; {_BACK}") from error

    def gone(self, draws: int) -> pa.Table:
        """What had left before the draws, as `GONE_SCHEMA`."""
        if not self.gone_file.exists():
            return GONE_SCHEMA.empty_table()
        table = read_table(self.gone_file, GONE_SCHEMA)
        return table.filter(pc.less_equal(table["draw"], draws))

    def drawn(self, plan: SamplingPlan, population: Population) -> Drawn:
        """All draws of the plan.

        Raises:
            WorkspaceError: a file has changed since.
        """
        gone = self.gone(len(plan.draws))
        try:
            return Drawn.by(population, plan, gone)
        except WorkspaceError as error:
            raise WorkspaceError(
                f"{self.plan_file}: {error}; put it and {self.gone_file.name} back from a backup"
            ) from error

    def sample(self) -> pa.Table:
        """All images drawn so far, as `SAMPLE_SCHEMA`."""
        if not self.sample_file.exists():
            return SAMPLE_SCHEMA.empty_table()
        return read_table(self.sample_file, SAMPLE_SCHEMA)

    def check_finished(self, population: Population, drawn: Drawn) -> None:
        """See to it that the sample is that of all draws.

        Raises:
            WorkspaceError: the last draw was interrupted, or the sample is not what was drawn.
        """
        sample = self.sample()
        if _draws_in(sample) == drawn.draws - 1:
            raise WorkspaceError(
                f"{self.sample_file}: draw {drawn.draws} was interrupted; run `sixrayd estimate "
                f"{'--next-look' if drawn.looks else '--sample N'}`, which finishes it"
            )
        self.check(population, drawn, sample)

    def check(self, population: Population, drawn: Drawn, sample: pa.Table) -> None:
        """See to it that a sample is what was drawn.

        Raises:
            WorkspaceError: it is not.
        """
        try:
            drawn.check_sample(population, sample)
        except WorkspaceError as error:
            raise WorkspaceError(
                f"{self.sample_file}: {error}; put it and draws.json back from a backup"
            ) from error


def draw_sample(workspace: Workspace, settings: SampleSettings) -> SampleResult:
    """Draw more units for spot checks; the first draw fixes population and strata.

    A draw that was interrupted is finished, with nothing drawn beyond it. The same goes for a
    planned look that is asked for again before any image of it is settled: who was interrupted as
    it ended has not been told.

    Raises:
        SettingsError: another seed than that of the draw that was interrupted, or looks that were
            planned otherwise.
        WorkspaceError: nothing is left to draw, or a file has changed; nothing is drawn then.
    """
    with workspace.lock("estimate"):
        name = review_name(workspace, settings.name)
        folder = SampleFolder(workspace, name)
        plan = folder.plan() or _new_plan(folder, name, settings)
        population = folder.population(plan)
        drawn = folder.drawn(plan, population)
        sample = folder.sample()
        answers = answers_by(workspace, said_in_all(workspace), Rule.ADJUDICATOR)
        settled = {image_id for image_id, answer in answers.items() if answer.settled}
        finished = _draws_in(sample) < drawn.draws
        again = not finished and _is_drawn(plan, population, sample, settled, settings)
        if not again:
            if not (finished and plan.looks == _looks(population, settings)):
                _check_kind(folder, plan, settings)
            _check_seed(plan, settings.seed, finished)
        if not (finished or again):
            folder.check(population, drawn, sample)
            plan, drawn = _draw(folder, plan, population, drawn, answers, settings)
        if not again:
            rows = drawn.sample(population, settled)
            sample = pa.concat_tables([sample, pa.Table.from_pylist(rows, SAMPLE_SCHEMA)])
        folder.check(population, drawn, sample)
        if not again:
            write_table(folder.sample_file, sample, SAMPLE_SCHEMA)
    last = plan.draws[-1]
    return SampleResult(
        name=name,
        file=str(folder.sample_file),
        draw=last.number,
        units=last.units,
        pools=last.pools,
        images=len(_of_draw(sample, last.number)),
        units_in_all=int(np.count_nonzero(drawn.in_draw)),
        looks=len(plan.looks.fractions) if plan.looks else 0,
        commitment=plan.commitment,
        finished=finished,
        again=again,
    )


def _draws_in(sample: pa.Table) -> int:
    return pc.max(sample["draw"]).as_py() or 0


def _of_draw(sample: pa.Table, number: int) -> set[str]:
    return set(sample.filter(pc.equal(sample["draw"], number))["image_id"].to_pylist())


def _is_drawn(
    plan: SamplingPlan,
    population: Population,
    sample: pa.Table,
    settled: set[str],
    settings: SampleSettings,
) -> bool:
    """Whether the last planned look is asked for once more, and has told nobody anything yet."""
    if plan.looks is None or not plan.draws or settings.seed not in ("", plan.draws[-1].seed):
        return False
    first = len(plan.draws) == 1
    same = plan.looks == _looks(population, settings) if first else settings.next_look
    images = _of_draw(sample, plan.draws[-1].number)
    return same and bool(images) and not images & settled


def _check_seed(plan: SamplingPlan, seed: str, interrupted: bool) -> None:
    """A seed that is known tells what it will draw, so each serves once."""
    known = [draw.seed for draw in plan.draws]
    if interrupted and seed not in ("", known[-1]):
        raise SettingsError(f"--seed: the interrupted draw {len(known)} has another; leave it out")
    if not interrupted and seed in known:
        raise SettingsError(
            f"--seed: draw {known.index(seed) + 1} had it, so everybody knows what it draws; throw "
            "again"
        )


def _new_plan(folder: SampleFolder, name: str, settings: SampleSettings) -> SamplingPlan:
    table, edges = population_now(folder.workspace, name)
    looks = _looks(Population(table), settings)
    write_table(folder.population_file, table, POPULATION_SCHEMA)
    return SamplingPlan(sha256_file(folder.population_file), edges, looks=looks)


def _looks(population: Population, settings: SampleSettings) -> LookPlan | None:
    """What is to be planned; None where draws have any size."""
    if not settings.looks:
        return None
    units = population.undecided_at_first
    if settings.looks[-1] > units:
        raise SettingsError(
            f"--looks: the last is {settings.looks[-1]:,}, and {units:,} groups are undecided"
        )
    return LookPlan(tuple(number / units for number in settings.looks))


def _check_kind(folder: SampleFolder, plan: SamplingPlan, settings: SampleSettings) -> None:
    """Looks are planned with the first draw or never: who chose later could choose by the finds."""
    if settings.looks and plan.draws:
        other = "--next-look" if plan.looks else "`--sample N`"
        raise SettingsError(
            f"--looks: looks are planned with the first draw, and {folder.path} has "
            f"{len(plan.draws)} already; take {other}"
        )
    asked = bool(settings.looks) or settings.next_look
    if plan.looks and not asked:
        raise SettingsError(
            f"--sample {settings.units}: looks were planned with the first draw of {folder.path}; "
            "take --next-look"
        )
    if plan.looks is None and asked:
        raise SettingsError(
            f"--next-look: no looks were planned with the first draw of {folder.path}; take "
            "`--sample N`"
            if plan.draws
            else "--next-look: plan the looks first, with --looks N,N,…"
        )


def _draw(
    folder: SampleFolder,
    plan: SamplingPlan,
    population: Population,
    drawn: Drawn,
    answers: Mapping[str, Answer],
    settings: SampleSettings,
) -> tuple[SamplingPlan, Drawn]:
    """One more draw; its seed is made now, so that nobody could know whom it takes."""
    seed, number = settings.seed or secrets.token_hex(16), drawn.draws + 1
    if plan.looks:  # which take what others have decided, too
        left: IntArray = np.zeros(0, np.int64)
        after = drawn.after_look(population, seed)
        pools, units = after.pools(population, number), after.taken(population, number)
    else:
        left = drawn.left_since(population, Standing.of(population, answers).decided)
        pools = drawn.after(population, {}, left).pools(population, number)
        if not sum(pools.values()):
            raise WorkspaceError(f"{folder.path}: every unit has been drawn or decided")
        units = allocate(pools, settings.units)
        after = drawn.after(population, units, left, seed)
        rows = [{"group": population.groups[row], "draw": number} for row in left.tolist()]
        gone = [folder.gone(number - 1), pa.Table.from_pylist(rows, GONE_SCHEMA)]
        write_table(folder.gone_file, pa.concat_tables(gone), GONE_SCHEMA)
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    draw = Draw(number, moment, pools, units, gone_digest(population, left), seed)
    plan = replace(plan, draws=(*plan.draws, draw))
    write_json(folder.plan_file, asdict(plan))
    folder.workspace.dates.note(folder.plan_file)
    return plan, after
