"""Where two outcomes first differ."""

from sixrayd.verify.stage import first_difference


def test_where_values_differ():
    assert first_difference({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2.0 + 1e-12}]}, "x") == ""
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "x") == (
        "x.a.2.b: stated 2, recomputed 3"
    )
    assert first_difference(1, True, "x") == "x: stated 1, recomputed True"
    assert first_difference([1], [1, 2], "x") == "x: stated [1], recomputed [1, 2]"
    assert first_difference({"a": 1}, {"b": 1}, "x") == "x: stated {'a': 1}, recomputed {'b': 1}"
