"""Processes that end with their caller."""

from pathlib import Path

from sixrayd.browse import lifeline


def test_a_log_is_written_where_it_is_named(tmp_path: Path) -> None:
    precious, log = tmp_path / "precious", tmp_path / "w/app.log"
    precious.write_text("theirs")
    log.parent.mkdir()
    log.symlink_to(precious)
    process = lifeline.start("sixrayd.browse.lifeline", ("echo", "ours"), log)
    assert process.wait() == 0
    lifeline.end(process)
    assert (precious.read_text(), log.read_text(), log.is_symlink()) == ("theirs", "ours\n", False)
