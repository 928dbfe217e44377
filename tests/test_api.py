import sixrayd.api


def test_every_name_of_the_api_is_there():
    assert len(sixrayd.api.__all__) >= 18
    for name in sixrayd.api.__all__:
        assert getattr(sixrayd.api, name).__name__ == name
