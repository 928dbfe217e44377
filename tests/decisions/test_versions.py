"""Versions of answers: what was said stays, what follows names what it follows."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from sixrayd.decisions.decision import answers, decisions_of
from sixrayd.decisions.versions import identity, new_versions, newest_versions, withdrawals

MOMENT = "2026-02-01T10:00:00+00:00"
NOTE = "withdrawn by carl: wrong bag"
# One task answered by two, one annotation that holds the answers of two, one that is alone.
ANSWERS = ((1, 11, "ann", "N1"), (1, 12, "bob", "N1"), (2, 21, "ann", "N2"), (2, 21, "bob", "N2"))


def row(answer=ANSWERS[0], verdict="unsure", decided_at="2026-01-02T10:00:00+00:00", **more):
    task, annotation, reviewer, image_id = answer
    return {
        "image_id": image_id,
        "version": 0,
        "verdict": verdict,
        "reviewer": reviewer,
        "decided_at": decided_at,
        "lead_time_s": 4.0,
        "server": "local",
        "task": task,
        "annotation": annotation,
        "lane": "1",
        "follows": 0,
        "withdrawn": False,
        "note": "",
        "boxes": [],
        **more,
    }


def of(rows, answer):
    return [each for each in rows if identity(each) == answer]


def test_an_answer_is_one_reviewers_in_one_annotation_about_one_image():
    one, other = row(), row(ANSWERS[2])
    assert identity(one) == (1, 11, "ann", "N1")
    assert newest_versions([one, other]) == {ANSWERS[0]: one, ANSWERS[2]: other}
    assert newest_versions([]) == {}


def test_the_newest_version_is_that_of_the_highest_number_wherever_it_stands():
    versions = [row(version=n, verdict=f"v{n}") for n in (2, 3, 1)]
    assert newest_versions(versions) == {ANSWERS[0]: versions[1]}


def test_of_two_machines_with_one_number_the_later_counts_wherever_it_stands():
    one, other = row(version=2), row(version=2, verdict="nothing there", decided_at=MOMENT)
    for versions in ([one, other], [other, one]):
        assert newest_versions(versions) == {ANSWERS[0]: other}
        assert [str(each.verdict) for each in answers(decisions_of(versions, "r"))] == [
            "nothing there"
        ]


def test_an_older_answer_that_a_backup_brought_and_nobody_had_pulled_overrules_nothing():
    known = new_versions([row(verdict="contraband missed", decided_at=MOMENT)], [])
    (beside,) = new_versions([row()], known, restored="2026-02-02T10:00:00+00:00")
    assert (beside["version"], beside["follows"], beside["verdict"]) == (1, 0, "unsure")
    assert newest_versions([*known, beside]) == {ANSWERS[0]: known[0]}
    assert new_versions([row()], [*known, beside]) == []
    # Of a clock that was ahead: it was said since.
    (since,) = new_versions([row()], known, restored="2026-01-01T10:00:00+00:00")
    assert since == new_versions([row()], known)[0] and since["version"] == 2


def test_versions_that_withdraw_are_left_out_where_what_was_given_is_asked_for():
    said, ended = row(version=1), row(version=2, withdrawn=True)
    assert newest_versions([said, ended], given=True) == {ANSWERS[0]: said}
    assert newest_versions([said, ended]) == {ANSWERS[0]: ended}
    assert newest_versions([ended], given=True) == {}


def test_every_change_is_a_version_whatever_has_changed():
    known = new_versions([row()], [])
    changes = {
        "verdict": "nothing there",
        "decided_at": MOMENT,
        "lead_time_s": 5.0,
        "boxes": [{"label": "Gun", "x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}],
        "lane": "2",
    }
    for key, value in changes.items():
        (fresh,) = new_versions([row(**{key: value})], known)
        assert fresh == {**row(**{key: value}), "version": 2, "follows": 1}, key


def test_noting_what_was_rejected_is_no_change():
    known = new_versions([row(rejected=None)], [])
    assert new_versions([row(rejected=["N1/rfb/0"])], known) == []


def test_a_withdrawal_keeps_what_was_said_and_tells_who_ended_it():
    (first,) = new_versions([row(verdict="nothing there")], [])
    (ended,) = withdrawals([first], NOTE, MOMENT)
    assert ended == {
        **first,
        "version": 2,
        "follows": 1,
        "withdrawn": True,
        "note": NOTE,
        "decided_at": MOMENT,
    }


def test_an_answer_that_was_withdrawn_stays_so_until_it_is_changed():
    known = new_versions([row()], [])
    known += withdrawals(known, NOTE, MOMENT)
    assert new_versions([row()], known) == []
    (back,) = new_versions([row(verdict="nothing there")], known)
    assert (back["version"], back["follows"], back["withdrawn"], back["note"]) == (3, 2, False, "")


def test_an_answer_changed_back_after_its_withdrawal_comes_back_too():
    known = new_versions([row()], [])
    known += new_versions([row(verdict="nothing there")], known)
    known += withdrawals([known[-1]], NOTE, MOMENT)
    (back,) = new_versions([row()], known)
    assert (back["verdict"], back["version"], back["follows"]) == ("unsure", 4, 3)


def test_a_withdrawal_of_one_leaves_the_other_answer_in_the_annotation():
    known = new_versions([row(ANSWERS[2]), row(ANSWERS[3])], [])
    known += withdrawals(of(known, ANSWERS[2]), NOTE, MOMENT)
    newest = newest_versions(known)
    assert newest[ANSWERS[2]]["withdrawn"] and not newest[ANSWERS[3]]["withdrawn"]


def test_what_a_backup_brings_back_does_not_overrule_what_was_said_later():
    known = new_versions([row()], [])
    known += new_versions([row(verdict="nothing there", decided_at=MOMENT)], known)
    assert new_versions([row()], known) == []
    other = row(decided_at="2026-01-02T10:00:00.5+00:00")  # by a clock that was put right
    assert [each["version"] for each in new_versions([other], known)] == [3]
    known += withdrawals([known[-1]], NOTE, MOMENT)
    assert new_versions([row()], known) == []


says = st.tuples(
    st.just("say"),
    st.integers(0, len(ANSWERS) - 1),
    st.sampled_from(["unsure", "nothing there", "contraband missed"]),
)
history = st.lists(
    st.one_of(
        says,
        st.tuples(st.just("withdraw"), st.integers(0, len(ANSWERS) - 1)),
        st.tuples(st.just("pull")),
        st.tuples(st.just("back up")),
        st.tuples(st.just("restore")),
    ),
    max_size=25,
)


@given(history)
def test_whatever_happens_what_stands_is_the_last_word(steps):
    """Against a model that keeps of each answer its last word, and whether that was ended."""
    server, known, stands, ended = {}, [], {}, {}
    backup, pulled, restored = {}, [], ""
    for step, (what, *about) in enumerate([*steps, ("pull",)]):
        if what == "say":
            number, verdict = about
            when = f"2026-01-02T10:{step:02d}:00+00:00"
            server[ANSWERS[number]] = row(ANSWERS[number], verdict, when)
        elif what == "back up":
            backup = dict(server)
        elif what == "restore":
            server, restored = dict(backup), f"2026-01-02T10:{step:02d}:00+00:00"
        elif what == "withdraw":
            answer = ANSWERS[about[0]]
            if answer in stands:
                before = copy.deepcopy(known)
                known += withdrawals([newest_versions(known)[answer]], NOTE, MOMENT)
                assert known[:-1] == before
                ended[answer] = stands.pop(answer)
        else:
            told = list(server.values())
            before = copy.deepcopy((told, known))
            fresh = new_versions(told, known, restored)
            assert (told, known) == before
            known += fresh
            assert new_versions(told, known, restored) == []  # a second pull brings nothing
            assert new_versions(told, known) == []  # nor one that knows of no backup
            for answer, said in server.items():
                if said not in pulled:
                    last = max((r["decided_at"] for r in of(pulled, answer)), default="")
                    pulled.append(said)
                    if last < said["decided_at"]:  # else a backup brought it, which none had seen
                        stands[answer] = said
                        ended.pop(answer, None)
    found = {a: r for a, r in newest_versions(known).items() if not r["withdrawn"]}
    assert {a: {**r, "version": 0, "follows": 0} for a, r in found.items()} == stands
    for answer in {identity(said) for said in pulled}:
        versions = [(r["version"], r["follows"]) for r in of(known, answer)]
        if restored:  # what the backup alone had stands beside another, with its number
            versions = sorted(set(versions))
        assert versions == [(n, n - 1) for n in range(1, len(versions) + 1)]
        assert versions
