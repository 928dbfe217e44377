"""What the figures say, in words."""

from sixrayd.benchmark.report.parts import SystemVerdict
from sixrayd.benchmark.report.words import (
    less_time,
    missing,
    per_cent,
    plain_row,
    points,
    signed,
    system_name,
)
from sixrayd.benchmark.results import Results, Row
from sixrayd.core.words import counted
from sixrayd.evaluation.bootstrap import BootstrapSettings

AIM = 0.25  # share of the time that a crop should save on dynamic input
_AIM = f"{100 * AIM:.0f} %"
_TABLES = ("fixed", "dynamic", "forms")


def verdicts(results: Results) -> tuple[SystemVerdict, ...]:
    """One for every row of TDC, in the order of the tables; those of the ablation apart."""
    keys = [key for table in results.tables if table.name in _TABLES for key in table.rows]
    rows = [results.row(key) for key in dict.fromkeys(keys)]
    return tuple(_verdict(results, row) for row in rows if row.system.crop.method == "tdc")


def summary(results: Results) -> str:
    """The page's first sentence."""
    said = verdicts(results)
    if not said:
        return "No row of TDC was measured, so nothing can be said of it."
    good = sum(verdict.good is True for verdict in said)
    unknown = sum(verdict.good is None for verdict in said)
    ending = f"; {unknown} cannot be decided" if unknown else ""
    return f"Rows in which TDC reaches what it must: {good} of {len(said)}{ending}."


def _verdict(results: Results, row: Row) -> SystemVerdict:
    quality = None if row.difference is None else row.difference.non_inferior
    saved = less_time(results, row)
    dynamic = row.system.input == "dynamic"
    fast = (None if saved is None else saved >= AIM) if dynamic else True
    good = None if quality is None or fast is None else quality and fast
    if False in (quality, fast):
        good = False
    reasons = []
    if quality is False:
        reasons += _why_worse(results, row)
    if fast is False:
        reasons += _why_slow(results, row)
    title = f"{system_name(row.system)}, {row.system.input} input"
    sentences = (_quality(results, row), *_time(saved, dynamic))
    return SystemVerdict(title, good, sentences, tuple(reasons))


def _quality(results: Results, row: Row) -> str:
    found = row.difference
    if found is None:
        return "Its mean AP was not compared: the same detector has no row without a crop."
    if found.non_inferior:
        word = "Not inferior"
    elif found.interval.high < -results.margin:
        word = "Inferior"
    else:
        word = "Not shown to be as good"
    share = round(100 * BootstrapSettings().confidence)
    interval = f"{signed(found.interval.low)} to {signed(found.interval.high)}"
    return (
        f"{word}: mean AP {signed(found.interval.value)} points against no crop, {share} % "
        f"interval {interval}; its one-sided lower bound is {signed(found.lower_bound)} and must "
        f"be above {signed(-results.margin)}."
    )


def _time(saved: float | None, dynamic: bool) -> tuple[str, ...]:
    if saved is None:
        return ("Its time was not compared.",) if dynamic else ()
    change = f"{per_cent(abs(saved))} {'less' if saved >= 0 else 'more'} time than no crop"
    if not dynamic:
        return (f"It takes {change}; on fixed input a crop cannot make detection faster.",)
    aim = "which reaches" if saved >= AIM else "which misses"
    return (f"It takes {change}, {aim} the aim of {_AIM} less.",)


def _why_worse(results: Results, row: Row) -> list[str]:
    """What is known of a loss of precision."""
    cost, found = row.cost, row.difference
    reasons = []
    if cost.objects_cut or cost.objects_lost:
        reasons.append(
            f"The crop cuts into {cost.objects_cut} and loses {cost.objects_lost} of "
            f"{counted(cost.objects, 'object')}."
        )
    else:
        reasons.append(
            "The crop cuts and loses no object, so what can cost precision is the change of scale "
            "and of surroundings."
        )
    if found is not None and found.interval.value >= -results.margin:
        reasons.append(
            "The value itself is within the margin: the test images are too few to be sure."
        )
    reasons += _weakest(results, row)
    return reasons


def _weakest(results: Results, row: Row) -> list[str]:
    """The class that loses most."""
    plain = plain_row(results, row)
    if plain is None:
        return []
    losses = []
    for name in results.classes:
        before, after = plain.classes.get(name), row.classes.get(name)
        if before is not None and after is not None and not missing(before) and not missing(after):
            losses.append((after - before, name, before, after))
    if not losses or min(losses)[0] >= 0:
        return []
    change, name, before, after = min(losses)
    return [f"{name} loses most: {points(before)} to {points(after)} ({signed(change)})."]


def _why_slow(results: Results, row: Row) -> list[str]:
    """What is known of a saving that stays below the aim."""
    plain = plain_row(results, row)
    removed = row.cost.area_removed
    reasons = []
    if removed < AIM:
        reasons.append(
            f"The crop removes {per_cent(removed)} of the area; the time of detection goes about "
            f"with the area, so {_AIM} less can hardly be expected."
        )
    if plain is None or plain.times is None or row.times is None:
        return reasons
    total = plain.times.total.median
    saved = plain.times.detect.median - row.times.detect.median
    spent = row.times.crop.median
    reasons.append(
        f"Cropping takes {per_cent(spent / total)} of the time without a crop, and detection saves "
        f"{per_cent(saved / total)}."
    )
    fixed = (plain.times.decode.median + plain.times.nms.median) / total
    reasons.append(f"Decoding and NMS, which no crop shortens much, are {per_cent(fixed)} of it.")
    return reasons
