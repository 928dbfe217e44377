"""What is secret lies in files of its owner alone."""

from pathlib import Path

import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.private import check_closed, write_private


def test_a_file_that_the_file_system_leaves_open_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"secret")
    check_closed(path)
    path.chmod(0o640)  # as exFAT shows it, whatever is asked for
    with pytest.raises(WorkspaceError) as caught:
        check_closed(path)
    assert str(caught.value) == (
        f"{tmp_path}: its file system keeps no modes and lets all users of this machine read what "
        "is secret; mount it with umask=077, or keep the workspace on another"
    )
