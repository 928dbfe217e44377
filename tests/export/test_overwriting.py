"""What an export may take the place of."""

import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.export.target import refuse_to_overwrite


@pytest.mark.parametrize("force", [False, True])
def test_free_targets(tmp_path, force):
    refuse_to_overwrite(tmp_path / "absent", ours=False, force=force)
    refuse_to_overwrite(tmp_path, ours=False, force=force)
    (tmp_path / "run.json").write_text("{}")
    refuse_to_overwrite(tmp_path, ours=False, force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]  # asked for, not touched


def test_targets_that_are_not_free(tmp_path):
    (tmp_path / ".hidden").write_text("")
    file = tmp_path / "file"
    file.write_text("")
    for target in (tmp_path, file):
        for force in (False, True):
            with pytest.raises(WorkspaceError) as caught:
                refuse_to_overwrite(target, ours=False, force=force)
            assert str(caught.value) == (
                f"{target}: exists and is no export; name a new folder with --out"
            )
    with pytest.raises(WorkspaceError) as caught:
        refuse_to_overwrite(tmp_path, ours=True, force=False)
    assert str(caught.value) == (
        f"{tmp_path}: holds an export of other inputs or settings, or changed since; replace it "
        "with --force, or name a new folder with --out"
    )
    refuse_to_overwrite(tmp_path, ours=True, force=True)
