"""The verification: from a certificate's parts to its bound, step by step."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isclose
from pathlib import Path
from typing import Any

import sixrayd
from sixrayd.core.errors import SixraydError, WorkspaceError, printable
from sixrayd.core.moments import read_moment
from sixrayd.core.progress import Report, untold
from sixrayd.core.words import counted
from sixrayd.statistics.assumptions import assumptions
from sixrayd.statistics.certificate import FORMAT, BoundOutcome, Statement, recompute
from sixrayd.statistics.missed import MissedEvidence, PlannedEvidence
from sixrayd.statistics.population import Population
from sixrayd.statistics.sampling import Draw
from sixrayd.verify.archive import Archive, read_archive

_DIGITS = 64  # of a commitment
_NONSENSE = (ArithmeticError, AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked, in order, and the first thing that is wrong."""

    file: str
    fault: str = ""  # empty for a sound certificate
    checked: tuple[str, ...] = ()
    sha256: str = ""
    name: str = ""
    signed_by: str = ""
    signed_at: str = ""
    version: str = ""
    commitment: str = ""
    draws: tuple[str, ...] = ()  # when each was drawn and by which seed, in words
    rests_on: tuple[str, ...] = ()
    bound: Mapping[str, Any] = field(default_factory=dict)  # as recomputed


def verify(path: Path, commitment: str = "", report: Report = untold) -> Verification:
    """Compute a certificate's bound again.

    Args:
        commitment: the line that was published with the last draw, which holds those before
            it, or its digits alone; empty compares with none.
        report: told of progress.
    """
    checked: list[str] = []
    try:
        archive = read_archive(path)
        parts = f"parts: {len(archive.tables)} tables with the digests that are stated"
        if (older := archive.statement.format) < FORMAT:
            parts += f"; of format {older}, by whose method the bound is computed"
        checked.append(parts)
        against = _check_commitment(archive.statement, commitment)
        _check_moments(archive.statement)
        checked.append(f"commitment: as {against}, from strata, pools and seed of each draw")
        outcome = _check_outcome(archive, checked, report)
    except SixraydError as error:
        return Verification(str(path), printable(error), tuple(checked))
    except _NONSENSE as error:
        return Verification(
            str(path), printable(f"a value makes no sense ({error})"), tuple(checked)
        )
    said = archive.statement
    return Verification(
        file=str(path),
        checked=tuple(checked),
        sha256=archive.sha256,
        name=printable(said.name),
        signed_by=printable(said.signed_by),
        signed_at=printable(said.signed_at),
        version=printable(said.version),
        commitment=said.commitment,
        draws=tuple(map(_told, said.plan.draws)),
        rests_on=assumptions(outcome, said.settings),
        bound=outcome.document()["bound"],
    )


def _check_moments(said: Statement) -> None:
    """Refuse words in the place of a time, which would read like what is checked."""
    for what, text in (
        ("signed_at", said.signed_at),
        *((f"draw {draw.number}: drawn_at", draw.drawn_at) for draw in said.plan.draws),
    ):
        try:
            read_moment(text)
        except ValueError as error:
            raise WorkspaceError(f"{what} {text[:100]!r}: expected a time in ISO 8601") from error


def _told(draw: Draw) -> str:
    # Seeds that look alike are not: JSON shows which signs they have.
    return printable(
        f"draw {draw.number}, {draw.drawn_at}: seed {json.dumps(draw.seed)}, NOT COMPARED with "
        "what was thrown"
    )


def _check_commitment(said: Statement, published: str) -> str:
    """What it agrees with, in words."""
    if said.plan.population != said.files["population.parquet"]:
        raise WorkspaceError("population.parquet: not the population that the sample is drawn from")
    if said.plan.commitment != said.commitment:
        raise WorkspaceError(
            f"commitment: stated {said.commitment}, but strata, pools and seeds give "
            f"{said.plan.commitment}"
        )
    if not published:
        return "stated"
    found, known = max(re.findall("[0-9a-f]*", published.lower()), key=len), said.plan.commitments
    if found in known[:-1]:
        number = known.index(found) + 1
        return f"published with draw {number} of {len(known)}, those after it NOT COMPARED"
    if found != said.commitment:
        raise WorkspaceError(
            f"commitment: {found or 'no digits'}: that is only the beginning; give all {_DIGITS} "
            "digits"
            if any(one.startswith(found) for one in known)
            else f"commitment: {said.commitment} differs from the published one: mistyped, another "
            "certificate, or seed or strata chosen later"
        )
    return "published"


def _check_outcome(archive: Archive, checked: list[str], report: Report) -> BoundOutcome:
    outcome = recompute(archive.statement, archive.tables, report)
    population = Population(archive.tables["population.parquet"])
    checked.append(
        f"population: {counted(int(population.sizes.sum()), 'image')} in "
        f"{counted(len(population.groups), 'group')}, "
        f"{population.undecided_at_first:,} of them undecided at the first draw; NOT COMPARED "
        "with a release"
    )
    if others := population.named_by_others():
        checked.append(
            f"names: {counted(others, 'group')} named by images that are no negatives of the "
            "release, NOT COMPARED: see whether it has them"
        )
    draws = archive.statement.plan.draws
    units = sum(sum(draw.units.values()) for draw in draws)
    times = f"{len(draws)} draw{'s' if len(draws) > 1 else ''}"
    checked.append(f"sample: {counted(units, 'group')} in {times}, where the seeds put them")
    found = outcome.document(archive.statement.format)
    if difference := first_difference(archive.statement.outcome, found, "outcome"):
        raise WorkspaceError(difference)
    checked.append(f"evidence: {_evidence(outcome.evidence)}, and all decisions")
    checked.append(
        f"bound: {found['bound']['found']:,} found, at most {found['bound']['upper']:,} missed, "
        f"overall and by class, by sixrayd {sixrayd.__version__}"
    )
    return outcome


def _evidence(evidence: MissedEvidence | PlannedEvidence) -> str:
    if isinstance(evidence, PlannedEvidence):
        return f"{len(evidence.finds)} of {len(evidence.looks.fractions)} planned looks"
    checks = sum(stratum.checks for stratum in evidence.strata)
    return f"{counted(checks, 'check')} in their order"


def first_difference(stated: Any, found: Any, where: str) -> str:
    """Where two JSON values first differ, in words; empty where they are the same.

    Whole numbers have to be equal, others to nine digits: processors round differently.
    """
    if isinstance(stated, dict) and isinstance(found, dict) and stated.keys() == found.keys():
        pairs = [(key, stated[key], found[key]) for key in sorted(found)]
    elif isinstance(stated, list) and isinstance(found, list) and len(stated) == len(found):
        pairs = [(str(n), *both) for n, both in enumerate(zip(stated, found, strict=True), 1)]
    elif _same(stated, found):
        return ""
    else:
        return f"{where}: stated {stated!r:.80}, recomputed {found!r:.80}"
    differences = (first_difference(one, two, f"{where}.{key}") for key, one, two in pairs)
    return next(filter(None, differences), "")


def _same(stated: Any, found: Any) -> bool:
    if type(stated) is not type(found):
        return False
    if isinstance(found, float):
        return isclose(stated, found, rel_tol=1e-9)
    return bool(stated == found)
