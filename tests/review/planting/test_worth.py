"""What planting can prove, before anything is planted."""

import pytest

from sixrayd.core.files import write_json
from sixrayd.core.workspace import Workspace
from sixrayd.review.planting.worth import proof_of
from tests.workspaces import finish

BLOCK = ("pool", "checks", "finds", "found_since")
SIDE = {"stated": 1.0, "planted": None, "hits": 0}
EVIDENCE = {
    "reviewed": 500,
    "found": 60,
    "strata": [
        {
            "name": "unflagged",
            "pool_now": 9900,
            "blocks": [{"pool": 10_000, "checks": 100, "finds": 0, "found_since": 0}],
        }
    ],
    "with_proposals": SIDE,
    "without_proposals": SIDE,
    "cleared_in_found": 0,
}


def estimated(root, **changed):
    workspace = Workspace(root)
    finish(workspace, "estimate", "first")
    document = {"settings": {"confidence": 0.95}, "evidence": {**EVIDENCE, **changed}}
    write_json(workspace.folder("estimate", "first") / "estimate.json", document)
    return workspace


@pytest.mark.parametrize(
    ("planted", "all_found", "most_found", "harms"),
    [(6, 0.14498, 0.01905, True), (20, 0.535, 0.373, False), (300, 0.95107, 0.78147, False)],
)
def test_what_a_number_can_prove(tmp_path, planted, all_found, most_found, harms):
    proof = proof_of(Workspace(tmp_path), planted)
    assert proof.level == pytest.approx(0.005)
    assert proof.all_found == pytest.approx(all_found, abs=1e-3)
    assert proof.most_found == pytest.approx(most_found, abs=1e-3)
    assert (proof.harms, proof.left, proof.left_then) == (harms, None, None)


def test_the_words_name_what_happens_to_the_bound(tmp_path):
    proof = proof_of(estimated(tmp_path), 6)
    assert proof.left < 600 < proof.left_then
    assert proof.harms
    assert str(proof) == (
        "3 planted of each kind, all found, prove that reviewers see 14.4 % or more at every look, "
        f"2 of 3 1.9 % (0.5 % level); at most {proof.left:,} missed would become "
        f"{proof.left_then:,} at best"
    )
    many = proof_of(estimated(tmp_path), 300)
    assert not many.harms and many.left < many.left_then < 2 * many.left


def test_more_of_what_is_measured_already_helps(tmp_path):
    side = {"stated": 1.0, "planted": 20, "hits": 18}
    workspace = estimated(tmp_path, with_proposals=side, without_proposals=side)
    proof = proof_of(workspace, 300)
    assert proof.left_then < proof.left and not proof.harms


@pytest.mark.parametrize("odd", [{"reviewed": -1}, {"strata": [{}]}, {"looks": {}}, {"more": 1}])
def test_a_strangers_estimate_counts_as_none(tmp_path, odd):
    assert proof_of(estimated(tmp_path, **odd), 300).left is None


@pytest.mark.parametrize(
    "changed",
    [
        {"with_proposals": {**SIDE, "planted": {}}},
        {"strata": [{"name": "a", "pool_now": 0, "blocks": [dict.fromkeys(BLOCK, 10**30)]}]},
    ],
)
def test_an_estimate_that_gives_no_bound_is_none(tmp_path, changed):
    assert proof_of(estimated(tmp_path, **changed), 6) == proof_of(Workspace(tmp_path / "no"), 6)
