"""Writing a certificate: who signs, what goes in, and that it verifies."""

import hashlib
import io
import json
import os
import zipfile

import pyarrow.parquet as pq
import pytest

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.records import Rule
from sixrayd.core.staging import sole_writer
from sixrayd.estimate.certify import certify
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings
from sixrayd.statistics.settings import BoundSettings
from sixrayd.verify.stage import verify
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.workspaces import BOB, MISSED, NOTHING, Picture, Says


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Twenty single images, all six that were drawn of them answered; two reviewers differ."""
    campaign = Campaign.build(tmp_path_factory.mktemp("certify") / "ws", [1] * 20, [1, 2])
    campaign.pull(
        Says(name_of(1), MISSED, GUN, "Jürgen Müller"), Says(name_of(2), NOTHING, reviewer="鲍勃")
    )
    draw_sample(campaign.workspace, SampleSettings(units=6, seed="dice"))
    campaign.clear(*(row[0] for row in sample_rows(campaign.workspace)))
    campaign.pull(Says(name_of(2), MISSED, GUN, BOB), Says(Picture("P1").image_id, NOTHING))
    return campaign


def parts_of(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(campaign, file, by="Ann Example", force=False, **bound):
    settings = EstimateSettings(bound=BoundSettings(**bound))
    return certify(campaign.workspace, settings, file, by, force)


def test_what_is_returned_is_what_is_in_the_file(campaign, tmp_path):
    file = tmp_path / "deep/er/a.certificate"
    result = write(campaign, file, "  Ann Example ")
    said = json.loads(parts_of(file)["statement.json"])

    assert result.file == str(file)
    assert result.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (result.signed_by, said["signed_by"]) == ("Ann Example", "Ann Example")
    assert result.commitment == said["commitment"]
    bound = said["outcome"]["bound"]
    assert (result.found, result.upper, result.recall) == (1, bound["upper"], bound["recall"])
    assert result.rests_on == (
        "confidence: 95 %",
        "looks: as many as one likes",
        "method: confidence sequence by betting",
        "rule where reviewers differ: adjudicator",
        "checks: nobody chose which to answer, and a check and the queue would judge alike",
        "sensitivity with proposals: NOT MEASURED, taken as 100 %; `sixrayd review plant` measures "
        "it",
        "sensitivity without proposals: NOT MEASURED, taken as 100 %; `sixrayd review plant` "
        "measures it",
        "false finds: NOT MEASURED, 1 of 1 found images were seen by one reader alone; `sixrayd "
        "review push --confirm-finds` has others look",
        "strata without a check: any of their 1 groups may be one",  # of which reviewers differ
    )
    assert verify(file).fault == ""


def test_two_certificates_differ_in_the_time_of_signing_alone(campaign, tmp_path):
    write(campaign, tmp_path / "a")
    write(campaign, tmp_path / "b")
    first, second = parts_of(tmp_path / "a"), parts_of(tmp_path / "b")

    assert list(first) == [
        "statement.json",
        "population.parquet",
        "gone.parquet",
        "sample.parquet",
        "decisions.parquet",
    ]
    said = [json.loads(parts.pop("statement.json")) for parts in (first, second)]
    assert first == second
    for one in said:
        del one["signed_at"]
    assert said[0] == said[1]
    assert said[0]["files"] == {
        name: hashlib.sha256(data).hexdigest() for name, data in first.items()
    }


def test_answers_outside_the_population_and_names_stay_out(campaign, tmp_path):
    write(campaign, tmp_path / "a")
    parts = parts_of(tmp_path / "a")
    rows = pq.read_table(io.BytesIO(parts["decisions.parquet"])).to_pylist()

    assert "P1" not in {row["image_id"] for row in rows}
    assert len(rows) == 9
    assert all(row["reviewer"].startswith("reviewer-") for row in rows)
    assert len({row["reviewer"] for row in rows}) == 4
    whole = (tmp_path / "a").read_bytes() + json.dumps(rows, ensure_ascii=False).encode()
    assert [n for n in ("Jürgen", "鲍勃", "@example.org") if n.encode() in whole] == []


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({"once": True}, "looks: a single one, at a number of checks announced in advance"),
        ({"confidence": 0.999}, "confidence: 99.9 %"),
        ({"consensus": Rule.STRICTEST}, "rule where reviewers differ: strictest"),
        (
            {"sensitivity": 0.8},
            "sensitivity with proposals: NOT MEASURED, counts as 80.0 %: stated, of the other "
            "side, or capped by double reading",
        ),
    ],
)
def test_every_setting_is_stated_and_verifies(tmp_path, campaign, bound, words):
    if bound.get("once"):
        campaign = Campaign.build(tmp_path / "ws", [1] * 9, [1])
        draw_sample(campaign.workspace, SampleSettings(units=4))
        campaign.clear(*(row[0] for row in sample_rows(campaign.workspace)))

    result = write(campaign, tmp_path / "a", **bound)
    checked = verify(tmp_path / "a")

    assert words in result.rests_on
    assert (checked.fault, checked.rests_on) == ("", result.rests_on)
    assert checked.bound["upper"] == result.upper


def test_the_strictest_rule_finds_what_others_leave_open(campaign, tmp_path):
    waiting = write(campaign, tmp_path / "a")
    strict = write(campaign, tmp_path / "b", consensus=Rule.STRICTEST)

    assert (waiting.found, strict.found) == (1, 2)
    assert waiting.commitment == strict.commitment


@pytest.mark.parametrize("by", ["Ünal Öz", "李雷 & Söhne <a@b>", 'Ann "the\nsecond"'])
def test_signers_of_any_name(campaign, tmp_path, by):
    assert write(campaign, tmp_path / "a", by).signed_by == by
    checked = verify(tmp_path / "a")
    assert (checked.fault, checked.signed_by) == ("", by.replace("\n", "\\n"))


@pytest.mark.parametrize("by", ["", " ", "\n\t"])
def test_nobody_signs(campaign, tmp_path, by):
    with pytest.raises(SettingsError) as caught:
        write(campaign, tmp_path / "a", by)
    assert str(caught.value) == "--by: who signs the certificate off?"
    assert list(tmp_path.iterdir()) == []


def test_no_two_write_one_certificate_at_once(campaign, tmp_path):
    file = tmp_path / "a.certificate"
    with sole_writer(file), pytest.raises(WorkspaceError) as caught:
        write(campaign, file)
    assert str(caught.value) == (
        f"{file}: process {os.getpid()} writes there; wait for it, or name another place"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_kept_unless_forced(campaign, tmp_path):
    file = tmp_path / "holiday.jpg"
    file.write_bytes(b"sand")
    with pytest.raises(WorkspaceError) as caught:
        write(campaign, file)
    assert str(caught.value) == f"{file}: is there already; name another, or pass --force"
    with pytest.raises(SettingsError) as caught:
        write(campaign, file, force=True)
    assert str(caught.value) == f"{file}: no certificate of sixrayd; name another place"
    assert file.read_bytes() == b"sand"

    file.write_bytes(b"")
    for _ in range(2):
        write(campaign, file, force=True)
        assert verify(file).fault == ""


def test_a_folder_in_its_place_is_told(campaign, tmp_path):
    with pytest.raises(WorkspaceError) as caught:
        write(campaign, tmp_path, force=True)
    assert str(caught.value) == (
        f"{tmp_path}: cannot be written (Is a directory); name another place, or move aside "
        "what is there"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_draw_is_finished_before_anybody_signs(tmp_path):
    campaign = Campaign.build(tmp_path / "ws", [1] * 3, [1])
    draw_sample(campaign.workspace, SampleSettings(units=1))
    sample = campaign.workspace.folder("estimate", "first") / "sample.parquet"
    sample.unlink()

    with pytest.raises(WorkspaceError) as caught:
        write(campaign, tmp_path / "a")
    assert str(caught.value) == (
        f"{sample}: draw 1 was interrupted; run `sixrayd estimate --sample N`, which finishes it"
    )
    assert not (tmp_path / "a").exists()
    assert draw_sample(campaign.workspace, SampleSettings()).finished
    write(campaign, tmp_path / "a")
    assert verify(tmp_path / "a").fault == ""
