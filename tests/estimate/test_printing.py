"""What `sixrayd estimate` prints, word by word."""

import re
from dataclasses import replace

import pytest

from sixrayd.core.workspace import Workspace
from sixrayd.estimate.plan import Cost, Costs
from sixrayd.estimate.printing import print_costs, print_estimate, print_sample
from sixrayd.estimate.sample import SampleResult
from sixrayd.estimate.settings import Target
from sixrayd.estimate.stage import Estimate, Spots
from sixrayd.statistics.double_reading import DoubleReading
from sixrayd.statistics.recapture import Recapture
from sixrayd.statistics.settings import BoundSettings

DRAW = SampleResult(
    name="first",
    file="/ws/estimate/first/sample.parquet",
    draw=2,
    units={"flagged, 1 of 2": 0, "unflagged": 1200},
    pools={"flagged, 1 of 2": 3, "unflagged": 1234567},
    images=2345,
    units_in_all=4321,
    looks=0,
    commitment="ab" * 32,
    finished=False,
)
COSTS = Costs(
    name="first",
    undecided=1234567,
    found=1000,
    confidence=0.95,
    rows=(Cost(30, 1000000, 1050000, 1100000, 0, 1050000), Cost(1000, 3000, 3100, 4000, 7, 3600)),
    target=Target(),
    target_left=None,
    target_checks=None,
    checked=66,
)
ROW = {"found": 3, "estimate": 1.25, "unchecked": 0, "upper": 7, "recall": 0.29999}
SPOTS = Spots(draws=1, drawn=12, counted=8, behind=1, unanswered=3, to_settle={}, looks=())
HERE = Workspace("workspace")  # the usual one, which commands need not name
RESULT = Estimate(
    name="first",
    folder="/ws/estimate/first",
    settings=BoundSettings(),
    found=1234,
    estimate=5.25,
    lower=0,
    upper=2345,
    images=3456,
    recall=0.34478,
    by_class={"Gun": ROW, "Knife": ROW | {"found": 0, "unchecked": 2, "upper": 1000}},
    spots=SPOTS,
    rests_on=("You may look as often as you like.", "It assumes [much]."),
    by_gamma={},
    double_reading=DoubleReading(),
    checks_to_halve=4567,
    after_next_look=None,
    planting_helps=False,
    planted_unsent={},
    target=Target(),
    target_met=None,
    recapture=None,
    evidence={},
)


def printed(capsys, show, *result):
    """Lines without the panel's frame."""
    show(*result)
    return [line.strip("│╭╮╰╯─ ") for line in capsys.readouterr().out.splitlines()]


def text(capsys, **changes):
    lines = printed(capsys, print_estimate, HERE, replace(RESULT, **changes))
    return " ".join(" ".join(lines).split())


def spots(**changes):
    return replace(SPOTS, **changes)


def test_a_draw(capsys):
    print_sample(DRAW)

    assert capsys.readouterr().out.splitlines() == [
        "draw 2: 1,200 groups, 2,345 images",
        "          0 of 3 undecided  flagged, 1 of 2",
        "      1,200 of 1,234,567 undecided  unflagged",
        "4,321 groups drawn in all: /ws/estimate/first/sample.parquet",
        f"commitment, to be published before these are reviewed: {'ab' * 32}",
    ]


def test_a_draw_that_was_only_finished_says_so_first(capsys):
    print_sample(replace(DRAW, finished=True))

    assert capsys.readouterr().out.splitlines()[:2] == [
        "the draw was interrupted before; it is complete now, nothing more drawn",
        "draw 2: 1,200 groups, 2,345 images",
    ]


def test_a_long_path_and_the_commitment_are_never_broken(capsys):
    print_sample(replace(DRAW, file="/" + "deep/" * 40 + "[bold]sample.parquet"))

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[3].endswith("deep/[bold]sample.parquet")


def test_costs_without_a_target(capsys):
    lines = printed(capsys, print_costs, COSTS)

    assert lines[:3] == [
        "checks  finds  left at most, one look  five planned     (90 %)  every look",
        "30          0               1,000,000     1,050,000  1,050,000   1,100,000",
        "1,000       7                   3,000         3,100      3,600       4,000",
    ]
    assert " ".join(lines[3:]) == (  # however wide the terminal is
        "1,234,567 undecided groups, 1,000 found; 95 % sure, if checks find at the rate so far "
        "and reviewers overlook nothing "
        "(90 %): chance brings more finds, and so a higher bound, in one of ten draws"
    )


def test_costs_before_any_check_say_whose_rate_they_take(capsys):
    lines = printed(capsys, print_costs, replace(COSTS, checked=0))
    assert lines[3].startswith("no check is answered yet: finds are those of the queue so far, ")


def test_costs_of_a_target(capsys):
    lines = printed(
        capsys,
        print_costs,
        replace(COSTS, confidence=0.999, target_left=1000, target_checks=(2500, 10000)),
    )

    assert " 99.9 % sure, " in lines[3]
    assert lines[-1] == "at most 1,000 left: 2,500 checks at one look, 10,000 at every look"


def test_an_estimate(capsys):
    lines = printed(capsys, print_estimate, HERE, RESULT)

    assert lines[0] == "what first still misses"
    assert lines[-1] == "/ws/estimate/first/estimate.json, estimate.png"
    rows = [line.split() for line in lines if line.startswith(("Gun", "Knife"))]
    assert rows == [
        ["Gun", "3", "1.2", "7", "29.9", "%"],
        ["Knife", "0", "unknown", "1,000", "29.9", "%"],
    ]
    said = text(capsys)
    assert (
        "Groups of near-identical images. Found: 1,234. At most 2,345 may be missed (95 % sure), "
        "best guess 5.2. At least 34.4 % of all contraband groups are found. Missed are 0 groups "
        "at least, and 3,456 images at most."
    ) in said
    assert "rests on - You may look as often as you like. - It assumes [much]. 8 of 12" in said
    assert (
        "8 of 12 drawn groups are answered without a gap, in 1 draw; 1 behind a gap, 3 not "
        "yet. About 4,567 more checks would halve it, if they find as often as so far."
    ) in said
    assert "Target" not in said
    assert "Capture-recapture" not in said


def test_what_is_not_known_is_no_number(capsys):
    assert "best guess unknown." in text(capsys, estimate=None)


def test_nothing_is_drawn_yet(capsys):
    said = text(capsys, spots=spots(draws=0, drawn=0, counted=0, behind=0, unanswered=0))

    assert "No group is drawn: `sixrayd estimate --looks N,N,…`; --plan says what looks" in said
    assert "would halve" not in said


def test_nothing_is_left_to_draw(capsys):
    none = spots(draws=0, drawn=0, counted=0, behind=0, unanswered=0)
    said = text(capsys, spots=none, evidence={"strata": []})

    assert "No group is drawn, and none is left to draw: all are decided." in said
    assert "--looks" not in said


def test_several_draws_and_several_that_wait(capsys):
    said = text(capsys, spots=spots(draws=3, drawn=1200, counted=1000, behind=0))

    assert "1,000 of 1,200 drawn groups are answered without a gap, in 3 draws; 0 behind" in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"checks_to_halve": None}, "reviewers overlook too much."),
        (
            {"checks_to_halve": None, "planting_helps": True},
            "reviewers overlook too much; more planted threats may help.",
        ),
        ({"checks_to_halve": 0}, ""),
        ({"checks_to_halve": None, "settings": BoundSettings(once=True)}, ""),
    ],
)
def test_what_would_halve_the_bound(capsys, changes, words):
    said = text(capsys, **changes)

    if words:
        assert f"No number of checks would halve it: {words}" in said
    else:
        assert "halve" not in said


def test_known_items_that_wait_come_with_the_queue(capsys):
    assert "not sent yet" not in text(capsys)
    said = text(capsys, planted_unsent={"first": 21}, planting_helps=True)
    assert (
        "21 planted threats not sent yet; with few answered, reviewers count as overlooking more. "
        "More of the queue brings more of them, the whole all: `sixrayd review push --name first`."
    ) in said


def test_planned_looks(capsys):
    planned = spots(draws=2, behind=0, looks=(10, 30, 80))
    said = text(capsys, spots=planned, checks_to_halve=None, after_next_look=77)
    assert (
        "Look 2 of 3: 8 of 12 drawn groups are settled; 3 are not and count as contraband. The "
        "next one takes about 50 more groups, at most 77 missed at the rate so far."
    ) in said
    said = text(capsys, spots=replace(planned, draws=3), checks_to_halve=None)
    assert "All the looks that were planned are drawn." in said
    assert "would halve" not in said


def test_a_planned_look(capsys):
    print_sample(replace(DRAW, looks=5))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "look 2 of 5: 1,200 groups, 2,345 images"
    assert lines[2] == "      1,200 of 1,234,567 not drawn before  unflagged"


@pytest.mark.parametrize(
    ("target", "met", "words"),
    [
        (Target(left=1000), True, "Target (at most 1,000 missed): met."),
        (Target(left=0), False, "Target (at most 0 missed): not met yet."),
        (Target(recall=0.9), False, "Target (90 % found): not met yet."),
        (Target(recall=0.9995), True, "Target (99.95 % found): met."),
        (Target(5, 1.0), True, "Target (at most 5 missed and 100 % found): met."),
    ],
)
def test_targets(capsys, target, met, words):
    assert words in text(capsys, target=target, target_met=met)


def test_two_minings(capsys):
    said = text(capsys, recapture=Recapture(estimate=3.46, low=1.0, high=12.04))

    assert (
        "Capture-recapture of two minings says 3.5 left (1.0 to 12.0): optimistic, similar "
        "detectors share blind spots."
    ) in said


def test_no_class_at_all(capsys):
    assert "class found best guess at most missed found at least Each" in text(capsys, by_class={})


@pytest.mark.parametrize("number", [1, 20, 21, 30])
def test_images_to_settle_are_shown_up_to_twenty(capsys, number):
    waiting = {f"N{n:07d}": f"unsure: 鲍勃 [{n}] " + "x" * 99 for n in range(number)}

    print_estimate(HERE, replace(RESULT, spots=spots(to_settle=waiting)))

    lines = capsys.readouterr().out.splitlines()
    start = lines.index("spot checks that hold back those behind them; settle them first:")
    shown = [f"  {image_id}  {reason}" for image_id, reason in list(waiting.items())[:20]]
    more = [f"  and {number - 20} more in estimate.json"] if number > 20 else []
    last = [
        "`sixrayd review adjudicate` sends them to somebody who settles them; what he has left "
        "open, or ruled on by classes that are gone, he submits anew, from his project's list"
    ]
    last.append("/ws/estimate/first/estimate.json, estimate.png")
    assert lines[start + 1 :] == [*shown, *more, *last]


def test_withdrawn_checks_are_named_with_what_to_do(capsys):
    print_estimate(HERE, replace(RESULT, spots=spots(withdrawn=("N0000003",))))
    assert (
        "spot checks whose answers were withdrawn, for which nobody is asked again: N0000003; "
        "`sixrayd review status` names their tasks, to be submitted anew\n"
    ) in capsys.readouterr().out


def test_another_bound_is_named(capsys):
    assert (
        "estimate/second says at most 1,545 of the same remainder. Hold to one of them, named "
        "before either is read: the smaller of two is no bound at this confidence."
    ) in text(capsys, others={"second": 1545})


def test_commands_name_the_workspace_that_they_are_for(capsys):
    """Typed as they stood, they drew and sent in the folder `workspace` of where one was."""
    shown = spots(draws=0, drawn=0, to_settle={"N1": "unsure"}, withdrawn=("N2",))
    measure = "NOT MEASURED; `sixrayd review plant` measures it"
    result = replace(RESULT, spots=shown, planted_unsent={"first": 1}, rests_on=(measure,))
    text = " ".join(printed(capsys, print_estimate, Workspace("/ws"), result))
    lines = re.findall("`(sixrayd [^`]+)`", " ".join(text.split()))
    assert len(lines) == 5
    assert all(line.endswith(" -w /ws") for line in lines)
