"""What came is known after any end, whatever number of files comes."""

import json

import pytest

from sixrayd.core.errors import ReleaseError
from sixrayd.download.receipts import Receipt, Receipts
from tests.download.test_fetch import at

URL = "http://mirror.example/"


def opened(folder):
    folder.mkdir(exist_ok=True)
    return Receipts.open(folder, at(URL))


def test_a_file_adds_a_line_and_the_document_is_written_once(tmp_path):
    receipts = opened(tmp_path)
    before = (tmp_path / "source.json").stat()
    for number in range(3):
        receipts.add(Receipt(f"{number}.jpg", 7, f"{number:064x}", URL))

    after = (tmp_path / "source.json").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert (tmp_path / "arrived.jsonl").read_bytes().count(b"\n") == 3

    again = opened(tmp_path)  # after a kill
    assert [again.sha256(f"{number}.jpg") for number in range(3)] == [
        f"{number:064x}" for number in range(3)
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["source.json"]
    row = {"bytes": 7, "sha256": f"{2:064x}", "from": URL}
    assert json.loads((tmp_path / "source.json").read_text())["files"]["2.jpg"] == row


@pytest.mark.parametrize("torn", [b'{"1.jpg": {"by', b"[]\n", b'{"1.jpg": 1}\n'])
def test_a_line_that_a_kill_cut_short_counts_for_nothing(tmp_path, torn):
    opened(tmp_path).add(Receipt("0.jpg", 7, "0" * 64, URL))
    with (tmp_path / "arrived.jsonl").open("ab") as file:
        file.write(torn)

    again = opened(tmp_path)

    assert (again.sha256("0.jpg"), again.sha256("1.jpg")) == ("0" * 64, "")


def test_what_is_no_text_is_refused(tmp_path):
    opened(tmp_path)
    (tmp_path / "arrived.jsonl").write_bytes(b"\xff\n")

    with pytest.raises(ReleaseError, match=r"arrived.jsonl: cannot be read .*; remove "):
        opened(tmp_path)
