import sys

import pytest

from sixrayd.core.errors import ServiceError
from sixrayd.core.extras import import_extra


def test_what_is_installed_is_imported():
    assert import_extra("json", "fast").dumps([1]) == "[1]"


def test_what_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)

    with pytest.raises(ServiceError) as caught:
        import_extra("h5py", "benchmark")
    assert str(caught.value) == (
        "h5py cannot be imported (import of h5py halted; None in sys.modules); install it with "
        "`pip install 'sixrayd[benchmark]'`"
    )
