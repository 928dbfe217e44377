"""What a bound rests on, in words."""

from sixrayd.statistics.certificate import BoundOutcome
from sixrayd.statistics.missed import MissedEvidence, PlannedEvidence, percent_down
from sixrayd.statistics.sensitivity import Sensitivity
from sixrayd.statistics.settings import BoundSettings


def assumptions(result: BoundOutcome, settings: BoundSettings) -> tuple[str, ...]:
    """What a bound rests on, one line each, wherever it is shown."""
    evidence, bound = result.evidence, result.bound
    lines = [
        f"confidence: {100 * settings.confidence:.12g} %",
        f"looks: {_looks(evidence, settings)}",
        f"method: {_method(evidence, settings)}",
        f"rule where reviewers differ: {settings.consensus}",
        "checks: nobody chose which to answer, and a check and the queue would judge alike"
        if isinstance(evidence, MissedEvidence)
        else "checks: drawn units that are not settled count as contraband",
        _seen("with", evidence.with_proposals, bound.sensitivity_with),
        _seen("without", evidence.without_proposals, bound.sensitivity_without),
    ]
    if evidence.checked_before:
        lines.append(
            "before the first draw: some were decided in checks of an earlier sample, so all of "
            "these count at the lower of both sensitivities"
        )
    if isinstance(evidence, PlannedEvidence):
        lines.append(_subtracted(evidence))
    if result.by_gamma:
        lines.append(_hidden(result, settings))
    if result.double.twice and settings.one_set:
        lines.append(result.double.words)
    if result.double.twice and not settings.one_set:
        lines.append(f"{result.double.words}; NOT HELD against the bound, of a format before 3")
    if result.false_finds.found:
        lines.append(result.false_finds.words)
    if bound.unchecked:
        lines.append(f"strata without a check: any of their {bound.unchecked:,} groups may be one")
    return tuple(lines)


def _subtracted(evidence: PlannedEvidence) -> str:
    found, alone = evidence.found + evidence.found_since, evidence.unconfirmed
    if evidence.subtract_confirmed:
        return (
            f"finds: {found - alone:,} that two readers saw are subtracted; {alone:,} that one "
            "alone saw count as missed"
        )
    return (
        f"finds: all {found:,} are subtracted, {alone:,} of them seen by one reader alone; each "
        "that is none makes the bound too low by one; --confirmed leaves them out"
    )


def _hidden(result: BoundOutcome, settings: BoundSettings) -> str:
    words = f"odds ratio of known to hidden contraband: {settings.gamma:g} is claimed"
    bounds = (f"{upper:,} at {gamma}" for gamma, upper in result.by_gamma.items())
    return f"{words}; left at most {', '.join(bounds)}"


def _looks(evidence: MissedEvidence | PlannedEvidence, settings: BoundSettings) -> str:
    if isinstance(evidence, PlannedEvidence):
        shares = ", ".join(f"{100 * share:.3g}" for share in evidence.looks.fractions)
        shown = f"{len(evidence.finds)} of those planned, at {shares} % of the groups"
        return shown if evidence.one_set else f"{shown}; a share of error for each part"
    if settings.once:
        return "a single one, at a number of checks announced in advance"
    return "as many as one likes"


def _method(evidence: MissedEvidence | PlannedEvidence, settings: BoundSettings) -> str:
    if isinstance(evidence, PlannedEvidence):
        power = "" if evidence.looks.power == 1 else f" to the power of {evidence.looks.power:g}"
        return f"exact binomial limits, their error spent by the share that is drawn{power}"
    return "exact hypergeometric limit" if settings.once else "confidence sequence by betting"


def _seen(side: str, sensitivity: Sensitivity, lower: float) -> str:
    words = f"sensitivity {side} proposals: "
    if sensitivity.measured:
        what = "known positives" if sensitivity.known else "planted threats"
        shown = f"{sensitivity.hits} of {sensitivity.planted} {what} found"
        return f"{words}measured, {shown}; counts as {percent_down(lower)}"
    if lower == 1:
        return f"{words}NOT MEASURED, taken as 100 %; `sixrayd review plant` measures it"
    why = "stated, of the other side, or capped by double reading"
    return f"{words}NOT MEASURED, counts as {percent_down(lower)}: {why}"
