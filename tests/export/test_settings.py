"""What an export may be asked for."""

from pathlib import Path

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.export.image_files import ImagesBy
from sixrayd.export.settings import ExportSettings


def test_the_form_is_voc_unless_another_is_named():
    assert ExportSettings() == ExportSettings(forms=("voc",))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"forms": ("coco", "VOC")}, "form 'VOC': is none of voc, coco, yolo, parquet, webdataset"),
        ({"forms": ()}, "forms: need one of voc, coco, yolo, parquet, webdataset"),
        ({"sets": ("plain",)}, "set 'plain': is none of confusing, audited_empty, negative"),
        (
            {"version": "1.2 <b>\n"},
            "version '1.2 <b>\\n': expected up to 64 letters, digits and any of . + - _, as in "
            "1.2.0",
        ),
        (
            {"images": ImagesBy.SYMLINK, "images_from": "no-such-folder"},
            "images-from: no-such-folder: no folder",
        ),
        (
            {"images_from": "."},
            "images-from: nothing leads there with --images copy; pass --images hardlink, symlink "
            "or reflink",
        ),
    ],
)
def test_what_is_none_is_refused(asked, message):
    if "images_from" in asked:
        asked = {**asked, "images_from": Path(asked["images_from"])}
    with pytest.raises(SettingsError) as caught:
        ExportSettings(**asked)
    assert str(caught.value) == message
