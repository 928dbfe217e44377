"""The first fault stops, or all of them are kept in order."""

import json

import pytest

from sixrayd.core.errors import ReleaseError
from sixrayd.core.findings import Flaw
from sixrayd.download.faults import Faults


def test_the_first_fault_stops():
    faults = Faults()

    with pytest.raises(ReleaseError) as caught:
        faults.add("a.zip", "broken")
    assert str(caught.value) == "a.zip: broken; mend it or pass --on-error skip"
    assert faults.found == []


def test_all_faults_are_kept_in_order_and_twice_if_they_come_twice(tmp_path):
    faults = Faults("skip")
    for where, what in (("b", 'ä\n"x"'), ("a", "y"), ("a", "y")):
        faults.add(where, what)
    faults.add("c.zip", "encrypted", Flaw.NOT_READ)
    faults.write(tmp_path / "skipped.jsonl")

    text = (tmp_path / "skipped.jsonl").read_text("utf-8")
    assert [json.loads(line) for line in text.splitlines()] == [
        {"where": "b", "error": 'ä\n"x"'},
        {"where": "a", "error": "y"},
        {"where": "a", "error": "y"},
        {"where": "c.zip", "error": "encrypted", "flaw": "file that is not read"},
    ]
    assert '"ä\\n' in text  # readable, one line each


def test_no_fault_leaves_no_file(tmp_path):
    Faults("skip").write(tmp_path / "skipped.jsonl")

    assert list(tmp_path.iterdir()) == []


def test_two_collections_do_not_share_what_they_found():
    first = Faults("skip")
    first.add("a", "x")

    assert Faults("skip").found == []


@pytest.mark.parametrize("advice", ["fix the file", "mend it", "mend it, or"])
def test_advice_is_given_once_and_not_where_it_was_taken(advice):
    what = f"broken; see line 3; {advice.removesuffix(' or')} or pass --on-error skip"
    with pytest.raises(ReleaseError) as caught:
        Faults().add("a", what)
    assert str(caught.value) == "a: broken; see line 3; mend it or pass --on-error skip"
    faults = Faults("skip")
    faults.add("a", what)
    assert faults.found == [("a", "broken; see line 3")]
