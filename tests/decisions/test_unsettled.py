"""The one count of what an adjudicator has to settle, in the words that all commands say."""

from dataclasses import replace

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.records import ADJUDICATION, Rule, Verdict
from sixrayd.decisions.consensus import unsettled
from sixrayd.decisions.decision import DecidedBox, standing_decisions
from sixrayd.decisions.unsettled import Unsettled, count_unsettled
from sixrayd.statistics.standing import answer_rows, settled_answers
from tests.review.test_progress import says, task

MISSED, NOTHING, UNSURE = Verdict.MISSED, Verdict.NOTHING, Verdict.UNSURE
GUN = DecidedBox(Box("Gun", 1, 2, 30, 40), "drawn", "")


def count(tasks, *decisions):
    return count_unsettled(tasks, standing_decisions(decisions), decisions)


def test_each_unsettled_image_counts_once_by_where_it_is():
    tasks = [task(f"N{n}") for n in range(1, 9)]
    tasks += [task(f"N{n}", ADJUDICATION) for n in (4, 5, 6, 7)]
    differ = [says(f"N{n}", NOTHING) for n in (1, 4, 5, 6)]
    differ += [says(f"N{n}", MISSED, GUN, who="bob", lane="2") for n in (1, 4, 5, 6)]
    ruled = [says(f"N{n}", v, who="eve", lane=ADJUDICATION) for n, v in ((5, NOTHING), (6, UNSURE))]
    alone = [says("N2", UNSURE), says("N3", MISSED), says("N7", NOTHING), says("N8", MISSED, GUN)]
    found = count(tasks, *differ, *ruled, *alone)
    # N5 is ruled on, and N7 was sent when its readers still differed.
    assert found == Unsettled(to_send=3, with_adjudicator=1, left_open=1)
    assert str(found) == (
        "5 images unsettled: 3 to send to an adjudicator, 1 with the adjudicator, "
        "1 that the adjudicator left open"
    )


def test_who_ruled_and_took_it_back_is_not_waited_for():
    tasks = [task("N1"), task("N1", ADJUDICATION)]
    differ = [says("N1", NOTHING), says("N1", MISSED, GUN, who="bob", lane="2")]
    ruling = says("N1", NOTHING, who="eve", lane=ADJUDICATION)
    ended = replace(ruling, version=2, withdrawn=True)
    assert count(tasks, *differ) == Unsettled(with_adjudicator=1)
    assert count(tasks, *differ, ruling, ended) == Unsettled(left_open=1)


def test_nothing_is_unsettled_and_other_reviews_count_on_shared_images():
    here, there = says("N1", NOTHING), replace(says("N1", MISSED, GUN, who="bob"), review="other")
    assert count([task("N1")], here) == Unsettled()
    assert str(Unsettled()) == "0 images unsettled"
    assert count([task("N1")], here, there) == Unsettled(to_send=1)
    assert count([task("N2")], here, there) == Unsettled()


def test_finds_of_classes_that_are_gone_are_to_settle_as_the_bound_has_them():
    """Else `estimate` counts them as undecided and `review adjudicate` sends nobody anything."""
    knife = DecidedBox(Box("Knife", 40, 2, 60, 40), "drawn", "")
    said = [says("N1", MISSED, knife), says("N2", MISSED, GUN), says("N3", MISSED, GUN, knife)]
    standing, classes = standing_decisions(said), ClassList(("Gun", "Wrench"))
    answers = settled_answers(answer_rows(standing), Rule.ADJUDICATOR, classes)
    found = unsettled(standing, Rule.ADJUDICATOR, classes)
    assert found == {"N1": (), "N3": (GUN.box,)}  # shown without the box that nobody can draw
    assert found.keys() == {image for image, answer in answers.items() if not answer.settled}
    tasks = [task(f"N{n}") for n in (1, 2, 3)]
    assert count_unsettled(tasks, standing, said, (), classes) == Unsettled(to_send=2)
    assert count_unsettled(tasks, standing, said) == Unsettled()
