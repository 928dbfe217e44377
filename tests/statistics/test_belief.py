"""What scores are worth: the least share of negatives over the share of known positives."""

import numpy as np
import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.statistics.belief import Belief, believe


def test_a_hand_worked_case():
    # 120 known positives in four bins of 30; 600 negatives, of which 80 score at all.
    held_out = np.repeat([0.2, 0.4, 0.6, 0.8], 30)
    mined = np.repeat([0.2, 0.4, 0.6, 0.8], [49, 19, 7, 5])

    belief = believe(held_out, mined, 600)

    # The upper two bins hold 7.5 and 5.5 negatives, each with one half beside them, and half of
    # the known ones: 26 hide. Each bin holds 6.5 of them, among 49.5, 19.5, 7.5 and 5.5 negatives.
    assert (belief.images, belief.held_out, belief.hidden) == (600, 120, 26.0)
    assert belief.scores == (0.2, 0.4, 0.6, 0.8)
    assert belief.probabilities == pytest.approx([6.5 / 49.5, 6.5 / 19.5, 6.5 / 7.5, 1], abs=1e-6)
    assert belief.of(np.array([0.1, 0.4, 0.9])) == pytest.approx([6.5 / 49.5, 6.5 / 19.5, 1])
    between = belief.of(np.array([0.5]))[0]
    assert between == pytest.approx((6.5 / 19.5 + 6.5 / 7.5) / 2, abs=1e-6)  # in the middle of odds


@pytest.mark.parametrize("hidden", [180, 900])
def test_what_hides_as_known_ones_score_is_counted(hidden):
    told, truth, first = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mined = np.concatenate([rng.beta(6, 1.5, hidden), rng.beta(1, 8, 9000)])

        belief = believe(rng.beta(6, 1.5, 200), mined, len(mined))

        told.append(belief.hidden)
        best = np.argsort(-mined)[:hidden]
        truth.append((best < hidden).sum())
        first.append(belief.of(mined[best]).sum())
    assert np.mean(told) == pytest.approx(hidden, rel=0.15)
    assert np.mean(first) == pytest.approx(np.mean(truth), rel=0.15)


@pytest.mark.parametrize("known", [20, 25, 50, 80])
def test_few_known_positives_do_not_say_that_all_negatives_hide_something(known):
    told = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mined = np.concatenate([rng.beta(5, 2, 450), rng.beta(2, 5, 3000)])  # they overlap
        told.append(believe(rng.beta(5, 2, known), mined, len(mined)).hidden)
    assert np.mean(told) == pytest.approx(450, rel=0.4)
    assert max(told) < 1200


def test_unflagged_known_ones_stand_for_hidden_ones_out_of_reach():
    # A third of the known positives is not found at all: so is a third of what hides.
    held_out = np.concatenate([np.zeros(30), np.full(60, 0.9)])

    belief = believe(held_out, np.full(40, 0.9), 1000)

    assert belief.hidden == pytest.approx(40.5 * 1.5, abs=0.1)
    assert belief.scores == (0.9,)
    assert belief.of(np.array([0.9]))[0] == 1


def test_too_few_known_positives_say_nothing():
    assert believe(np.full(19, 0.5), np.full(100, 0.5), 200) is None
    assert believe(np.zeros(50), np.full(100, 0.5), 200) is None
    assert believe(np.full(50, 0.5), np.zeros(0), 200) is None


def test_it_is_read_back_and_nothing_else_is(tmp_path):
    path = tmp_path / "belief.json"
    belief = believe(np.linspace(0.1, 0.9, 40), np.linspace(0.05, 0.9, 300), 500)
    assert Belief.load(path) is None

    belief.save(path)

    assert Belief.load(path) == belief
    told = path.read_text()
    for damaged in ("[]", "{}", told[:40], told.replace('"scores"', '"other"'), "1" + told):
        path.write_text(damaged)
        with pytest.raises(WorkspaceError, match=r"belief\.json: not what `sixrayd mine` wrote"):
            Belief.load(path)
    for scores in ([0.5, 0.4], [0.5, 2.0], []):
        Belief(5, 5, 1.0, tuple(scores), tuple(scores)).save(path)
        with pytest.raises(WorkspaceError, match="expected a curve that rises"):
            Belief.load(path)
