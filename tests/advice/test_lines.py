"""Commands to type again, of settings that may be a stranger's."""

from sixrayd.advice.lines import export_again
from sixrayd.core.workspace import Run


def test_a_strangers_export_names_no_command(tmp_path):
    run = Run("export", "a", {"form": "voc; reboot #", "out": "; reboot"}, {})
    assert export_again(run) == "sixrayd export --voc --out '; reboot' --force"
    asked = {"forms": ["coco", "; reboot"], "sets": ["confusing", "a; b"], "trainval": False}
    assert export_again(Run("export", "a", asked | {"images": "hardlink", "looks": True}, {})) == (
        "sixrayd export --coco --images hardlink --with 'confusing,a; b' --without-trainval "
        "--looks --force"
    )


def test_an_export_of_other_answers_has_no_version_of_before():
    asked = {"forms": ["voc"], "version": "1.2.0"}
    assert export_again(Run("export", "a", asked, {})) == "sixrayd export --voc --force"
