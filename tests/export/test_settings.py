"""What an export may be asked for."""

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.export.forms import FORMS
from sixrayd.export.settings import ExportSettings


def test_the_form_is_voc_unless_another_is_named():
    assert ExportSettings() == ExportSettings(form="voc")
    assert {name: form.title for name, form in FORMS.items()} == {"voc": "PASCAL VOC 2007"}


@pytest.mark.parametrize("form", ["coco", "VOC", ""])
def test_a_form_that_is_none_is_refused(form):
    with pytest.raises(SettingsError) as caught:
        ExportSettings(form=form)
    assert str(caught.value) == f"form {form!r}: is none of voc"
