"""Certificates: written, computed again elsewhere, and refused when any part was changed."""

import hashlib
import hmac
import io
import json
import lzma
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import sixrayd
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.private import write_private
from sixrayd.core.pseudonyms import DIGITS, KEY_FILE
from sixrayd.core.records import ADJUDICATION
from sixrayd.core.tables import table_bytes
from sixrayd.datasets import packing
from sixrayd.estimate.certify import certify
from sixrayd.estimate.command import estimate as estimate_command
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import EstimateSettings, SampleSettings
from sixrayd.estimate.stage import estimate
from sixrayd.statistics import certificate
from sixrayd.statistics.certificate import recompute
from sixrayd.statistics.missed import percent_down
from sixrayd.statistics.sampling import GONE_SCHEMA, SamplingPlan
from sixrayd.statistics.settings import BoundSettings
from sixrayd.verify.archive import read_archive
from sixrayd.verify.command import verify as command
from sixrayd.verify.stage import _told, verify
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.limits import address_space
from tests.workspaces import MISSED, UNSURE, Says

THREATS = {"label": "Gun", "with_proposals": True, "planted": 9, "hits": 9, "named": 9}
UNMEASURED = "NOT MEASURED, taken as 100 %; `sixrayd review plant` measures it"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Two draws with decisions in between; some checks are answered, one is unsure."""
    campaign = Campaign.build(tmp_path_factory.mktemp("ws"), [1] * 28 + [2], [1, 2, 3, 4])
    campaign.find(name_of(1))
    draw_sample(campaign.workspace, SampleSettings(units=8, seed="dice"))
    first = [row[0] for row in sample_rows(campaign.workspace)]
    others = [name_of(n) for n in range(5, 29) if name_of(n) not in first]
    campaign.clear(*first[1:], *others[:2])
    campaign.find(first[0], others[2])
    draw_sample(campaign.workspace, SampleSettings(units=5))
    second = [row[0] for row in sample_rows(campaign.workspace) if row[4] == 2]
    campaign.clear(*second[:2])
    campaign.pull(Says(second[2], UNSURE))
    return campaign


@pytest.fixture
def file(campaign, tmp_path):
    path = tmp_path / "missed.certificate"
    certify(campaign.workspace, EstimateSettings(), path, "Ann Example")
    return path


def parts_of(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_parts(file, parts, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def rewrite(file, change):
    """Change the statement."""
    parts = parts_of(file)
    said = json.loads(parts["statement.json"])
    change(said)
    write_parts(file, parts | {"statement.json": json.dumps(said).encode()})


def retable(file, name, change):
    """Change the rows of a table, and its digest in the statement as a forger would."""
    parts = parts_of(file)
    table = pq.read_table(io.BytesIO(parts[name]))
    data = table_bytes(pa.Table.from_pylist(change(table.to_pylist()), table.schema))
    said = json.loads(parts["statement.json"])
    said["files"][name] = hashlib.sha256(data).hexdigest()
    write_parts(file, parts | {name: data, "statement.json": json.dumps(said).encode()})


def test_a_certificate_says_what_the_estimate_says(campaign, file):
    result = verify(file)
    expected = estimate(campaign.workspace)

    assert result.fault == ""
    assert (result.name, result.signed_by, result.version) == (
        *("first", "Ann Example"),
        sixrayd.__version__,
    )
    bound = result.bound
    assert {key: bound[key] for key in ("found", "upper", "lower", "images", "recall")} == {
        key: getattr(expected, key) for key in ("found", "upper", "lower", "images", "recall")
    }
    assert result.checked == (
        "parts: 4 tables with the digests that are stated",
        "commitment: as stated, from strata, pools and seed of each draw",
        "population: 30 images in 29 groups, 28 of them undecided at the first draw; NOT COMPARED "
        "with a release",
        "sample: 13 groups in 2 draws, where the seeds put them",
        f"evidence: {expected.spots.counted} checks in their order, and all decisions",
        f"bound: 3 found, at most {expected.upper} missed, overall and by class, by sixrayd "
        f"{sixrayd.__version__}",
    )
    assert expected.spots.counted >= 8
    first, second = SamplingPlan.parse(json.loads(parts_of(file)["statement.json"])["plan"]).draws
    assert result.draws == (
        f'draw 1, {first.drawn_at}: seed "dice", NOT COMPARED with what was thrown',
        f'draw 2, {second.drawn_at}: seed "{second.seed}", NOT COMPARED with what was thrown',
    )


def test_nobody_is_named_in_it(file):
    data = (
        file.read_bytes()
        + json.dumps(
            pq.read_table(io.BytesIO(parts_of(file)["decisions.parquet"])).to_pylist()
        ).encode()
    )

    assert b"example.org" not in data
    assert b"reviewer-" in data
    assert b"127.0.0.1" not in data


def test_the_published_commitment(file):
    said = json.loads(parts_of(file)["statement.json"])
    whole = said["commitment"]
    first = SamplingPlan.parse(said["plan"]).commitments[0]

    def compared(published):
        return verify(file, published).checked[1]

    published = "commitment: as published, from strata, pools and seed of each draw"
    assert compared(whole) == published
    line = f"commitment, to be published before these are reviewed: {whole.upper()}\n"
    assert compared(line) == published
    assert compared(first) == (
        "commitment: as published with draw 1 of 2, those after it NOT COMPARED, from strata, "
        "pools and seed of each draw"
    )
    for beginning in (whole[:63], first[:9]):
        assert verify(file, beginning).fault == (
            f"commitment: {beginning}: that is only the beginning; give all 64 digits"
        )
    assert verify(file, "?").fault.startswith("commitment: no digits: that is only the beginning")
    assert verify(file, "0" * 64).fault == (
        f"commitment: {whole} differs from the published one: mistyped, another certificate, or "
        "seed or strata chosen later"
    )


def test_it_verifies_alone_in_an_empty_folder(file, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(folder)}

    def run(path):
        words = [sys.executable, "-m", "sixrayd", "verify", str(path)]
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)

    sound = run(file)
    assert sound.returncode == 0, sound.stderr
    lines = sound.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["checked"] * 6 + ["drawn"] * 2 + [
        "rests"
    ] * 9 + [
        "sound:",
        "SHA-256",
    ]
    rewrite(file, lambda said: said["outcome"]["bound"].update(upper=1))
    forged = run(file)
    assert forged.returncode == 3
    *told, fault = forged.stderr.splitlines()
    assert [line.split(",")[0] for line in told] == [
        *("draws 2 of 2", "evidence of classes 5 of 5", "bounds of classes 5 of 5")
    ]
    assert fault == f"{file}: outcome.bound.upper: stated 1, recomputed {verify_upper(sound)}"
    assert list(folder.iterdir()) == []


def verify_upper(run):
    return next(line for line in run.stdout.splitlines() if "bound:" in line).split()[6]


def recommitted(change):
    """Change the plan, and its commitment as a forger would."""

    def both(said):
        change(said["plan"])
        said["commitment"] = SamplingPlan.parse(said["plan"]).commitment

    return both


def shift(key, value):
    return lambda said: said.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda said: said["plan"]["draws"][0].update(seed="chosen"), "commitment: stated"),
        (lambda said: said["plan"]["draws"][1].update(drawn_at="later"), "commitment: stated"),
        (lambda said: said["plan"].update(edges=[0.1]), "commitment: stated"),
        (lambda said: said["plan"].update(version="9"), "commitment: stated"),
        (shift("commitment", "0" * 64), f"commitment: stated {'0' * 64}, but strata"),
        (lambda said: said["plan"].update(population="0" * 64), "population.parquet: not the pop"),
        (lambda said: said["plan"]["draws"].pop(), "commitment: stated"),
        (lambda said: said["plan"]["draws"].clear(), "commitment: stated"),
        (recommitted(lambda plan: plan["draws"].pop()), "sample: "),
        (
            recommitted(lambda plan: plan["draws"][1]["pools"].update(unflagged=9)),
            "draw 2: of pools",
        ),
        (
            recommitted(lambda plan: plan["draws"][0]["units"].update(unflagged=3)),
            "draw 2: of pools",
        ),
        (recommitted(lambda plan: plan["draws"][1].update(seed="chosen")), "sample: unit"),
        (
            lambda said: said["settings"].update(confidence=0.9),
            "outcome.bound.split.sampling: stated 0.05",
        ),
        (lambda said: said["settings"].update(sensitivity=0.5), "outcome.bound."),
        (lambda said: said["settings"].update(once=True), "a single look takes one draw"),
        (shift("classes", ["Gun"]), "outcome.by_class: stated"),
        (
            shift("planted", [{"label": "Gun", "with_proposals": True, "planted": 9, "hits": 9}]),
            "statement.json: not a statement",
        ),
        (shift("planted", [THREATS]), "outcome.bound."),
        (
            shift("planted", [THREATS | {"hits": "9"}]),
            "statement.json: not a statement (planted 'Gun': a value is of another type)",
        ),
        (
            shift("planted", [THREATS, THREATS | {"planted": -4, "hits": -9, "named": -9}]),
            "statement.json: not a statement (planted 'Gun': -9 named, -9 found of -4; ",
        ),
        (
            shift("planted", [THREATS | {"kind": "guess"}]),
            "statement.json: not a statement (planted 'Gun': kind 'guess')",
        ),
        (
            lambda said: said["plan"]["draws"][1].update(seed="dice"),
            "draw 2: has the seed of draw 1",
        ),
        (lambda said: said["outcome"]["evidence"].update(reviewed=5), "outcome.evidence.reviewed"),
        (lambda said: said["outcome"]["by_class"]["Gun"].update(upper=0), "outcome.by_class.Gun"),
        (lambda said: said["outcome"]["bound"].update(recall=0.99), "outcome.bound.recall"),
        (shift("files", {}), "statement.json: names [] as its parts"),
        (shift("format", 9), "statement.json: format 9, expected up to 4"),
        (lambda said: said.pop("signed_by"), "statement.json: not a statement"),
        (
            lambda said: said.update(signed_by=["a", "b"]),
            "statement.json: not a statement (signed_by ['a', 'b']: expected a text)",
        ),
    ],
)
def test_a_changed_statement_is_refused(file, change, message):
    rewrite(file, change)

    assert verify(file).fault.startswith(message)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("population.parquet", lambda rows: rows[1:], "population.parquet: not the population"),
        ("sample.parquet", lambda rows: rows[1:], "sample: unit"),
        ("sample.parquet", lambda rows: [*rows, {**rows[0], "group": name_of(1)}], "sample: unit"),
        ("gone.parquet", lambda rows: rows[1:], "draw 2: other units left before it"),
        ("gone.parquet", lambda rows: [*rows, {"group": "other", "draw": 2}], "sample: units that"),
        ("decisions.parquet", lambda rows: rows[:-4], "outcome."),
        (
            "decisions.parquet",
            lambda rows: [{**row, "verdict": "nothing there"} for row in rows],
            "outcome.",
        ),
        (
            "decisions.parquet",
            lambda rows: [{**row, "verdict": "perhaps"} for row in rows],
            "decision on N",
        ),
        (  # which by majority would win against another's
            "decisions.parquet",
            lambda rows: [*rows, {**rows[0], "verdict": "nothing there"}],
            "decisions: two answers of one reviewer on N",
        ),
        (  # which would make finds look true
            "decisions.parquet",
            lambda rows: [*rows, {**rows[0], "image_id": "other"}],
            "decisions: other is no image of the population",
        ),
    ],
)
def test_a_changed_table_is_refused(file, name, change, message):
    retable(file, name, change)

    assert verify(file).fault.startswith(message)


def test_an_older_format_hides_nothing_that_a_bound_rests_on(file):
    rewrite(file, shift("planted", [THREATS]))
    as_recomputed(file)
    now = verify(file)
    rewrite(file, shift("format", 2))
    as_recomputed(file)

    older = verify(file)

    assert (now.fault, older.fault) == ("", "")
    told = [
        line for line in now.rests_on if line.startswith(("odds ratio", "false finds: NOT MEA"))
    ]
    assert len(told) == 2
    assert {line.partition(";")[0] for line in told} < {
        line.partition(";")[0] for line in older.rests_on
    }
    assert older.checked[0] == (
        f"{now.checked[0]}; of format 2, by whose method the bound is computed"
    )


def as_recomputed(file):
    """With the outcome that follows from the parts, as a forger would."""
    archive = read_archive(file)
    found = recompute(archive.statement, archive.tables)
    rewrite(file, shift("outcome", found.document(archive.statement.format)))


def test_seeds_that_look_alike_are_told_apart(file):
    def respelt(plan):
        plan["draws"][1].update(seed="e\u0301", drawn_at="today\n")

    rewrite(file, recommitted(respelt))
    plan = SamplingPlan.parse(json.loads(parts_of(file)["statement.json"])["plan"])

    assert _told(plan.draws[1]) == (
        'draw 2, today\\n: seed "e\\u0301", NOT COMPARED with what was thrown'
    )


def test_who_settles_a_conflict_may_have_been_a_party_to_it(file):
    def ruled(rows):
        return [*rows, {**rows[0], "lane": ADJUDICATION}]

    retable(file, "decisions.parquet", ruled)

    assert not verify(file).fault.startswith("decisions: ")


def test_readers_whose_pseudonyms_would_be_alike_stay_two(tmp_path):
    names = {}
    key = bytes(32)
    for number in range(20_000):
        name = f"{number}@example.org"
        short = hmac.digest(key, name.encode(), "sha256").hex()[:DIGITS]
        if short in names:
            break
        names[short] = name
    campaign = Campaign.build(tmp_path / "ws", [1] * 9)
    write_private(campaign.workspace.root / KEY_FILE, key.hex().encode())
    draw_sample(campaign.workspace, SampleSettings(looks=(9,)))
    campaign.pull(*(Says(name_of(1), MISSED, GUN, who) for who in (name, names[short])))
    settings = EstimateSettings(bound=BoundSettings(confirmed=True))

    made = certify(campaign.workspace, settings, tmp_path / "file", "Ann")

    assert made.found == 1
    assert verify(tmp_path / "file").fault == ""


@pytest.mark.parametrize("name", ["population", "sample", "gone", "decisions"])
def test_a_flipped_byte_is_refused(file, name):
    parts = parts_of(file)
    data = bytearray(parts[f"{name}.parquet"])
    data[len(data) // 2] ^= 1
    write_parts(file, parts | {f"{name}.parquet": bytes(data)})

    assert verify(file).fault == f"{name}.parquet: not the file that the statement names"


def test_no_nonsense_escapes(file):
    parts, random = parts_of(file), Random(0)
    faults = []
    for name in [*parts] * 12:
        data = bytearray(parts[name])
        for _ in range(random.choice((1, 3, 20))):
            data[random.randrange(len(data))] = random.randrange(256)
        changed = {name: bytes(data)}
        if name != "statement.json":
            said = json.loads(parts["statement.json"])
            said["files"][name] = hashlib.sha256(data).hexdigest()
            changed["statement.json"] = json.dumps(said).encode()
        write_parts(file, parts | changed)
        faults.append(verify(file).fault)

    assert len(faults) == 60
    assert sum(map(bool, faults)) > 40  # some bytes say nothing: who wrote a table, for instance
    assert all(fault.isprintable() for fault in faults)


def test_what_is_printed_is_one_line_of_text(file, runner):
    rewrite(file, lambda said: said.update(signed_by="Ann\x1b[2J\nsound: x"))

    said = runner.invoke(command, [str(file)], catch_exceptions=False)

    assert said.stdout.splitlines()[-2].startswith(
        'sound: "first", names "Ann\\\\x1b[2J\\\\nsound: x" as signer (not proven), at'
    )


def test_words_of_a_certificate_do_not_read_like_what_is_checked(file, runner):
    rewrite(file, lambda said: said.update(name='a", names "Bob" as signer (proven)'))

    said = runner.invoke(command, [str(file)], catch_exceptions=False)

    assert said.stdout.splitlines()[-2].startswith(
        'sound: "a\\", names \\"Bob\\" as signer (proven)", names "Ann Example" as signer (not'
    )
    compared = "2026-01-01: compared with dice"
    rewrite(file, recommitted(lambda plan: plan["draws"][1].update(drawn_at=compared)))
    assert verify(file).fault == f"draw 2: drawn_at '{compared}': expected a time in ISO 8601"
    rewrite(file, lambda said: said.update(signed_at="today (proven)"))
    assert verify(file).fault == "signed_at 'today (proven)': expected a time in ISO 8601"


def test_a_file_that_lists_parts_without_end_is_not_listed(file, monkeypatch):
    """Each that it lists takes half a kilobyte of memory."""
    monkeypatch.setattr(packing, "_MOST_LISTED", 100)
    assert "not a sound zip file (a list of files of" in verify(file).fault


def test_other_files_are_refused(file, tmp_path):
    parts = parts_of(file)
    whole = file.read_bytes()

    def fault(data=None):
        if data is not None:
            file.write_bytes(data)
        return verify(file).fault

    assert fault(b"") == "not a sound zip file (File is not a zip file)"
    assert fault(whole[: len(whole) // 2]) == "not a sound zip file (File is not a zip file)"
    at = whole.index(b"PAR1") + 40
    assert fault(whole[:at] + b"?" + whole[at + 1 :]).startswith("not a sound zip file (Bad CRC")
    write_parts(file, parts, zipfile.ZIP_DEFLATED)
    assert fault() == "statement.json: packed or encrypted"
    write_parts(file, parts | {"../evil": b""})
    assert fault().startswith("holds ['../evil', 'decisions.parquet', ")
    write_parts(file, {name: data for name, data in parts.items() if name != "gone.parquet"})
    assert fault().startswith("holds ['decisions.parquet', 'population.parquet', ")
    assert verify(tmp_path / "none").fault == "cannot be read (No such file or directory)"


def test_tables_that_are_none_or_too_large(file):
    def with_table(data):
        parts = parts_of(file)
        said = json.loads(parts["statement.json"])
        said["files"]["gone.parquet"] = hashlib.sha256(data).hexdigest()
        changed = {"gone.parquet": data, "statement.json": json.dumps(said).encode()}
        write_parts(file, parts | changed)
        return verify(file).fault

    assert with_table(b"x").startswith("gone.parquet: not a readable Parquet table")
    other = pa.table({"group": ["a"]})
    assert with_table(table_bytes(other)).startswith("gone.parquet: columns ['group'], expected")
    text = pa.DictionaryArray.from_arrays(
        pa.array([0] * 4000, pa.int32()), pa.array(["x" * 100_000])
    )
    grown = pa.table([text.cast(pa.string()), pa.array([1] * 4000)], GONE_SCHEMA)  # 400 MB
    sink = pa.BufferOutputStream()
    pq.write_table(grown, sink, compression="zstd")  # ours would not pack it
    data = bytes(sink.getvalue())
    assert len(data) < 4000
    with address_space(200 << 20):
        assert "(unpacks to more than 67" in with_table(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shift("classes", [f"C{n}" for n in range(100_000)]), "100000 classes, at most 1000"),
        (lambda said: said["plan"].update(draws=said["plan"]["draws"] * 501), "1002 draws"),
        (shift("planted", [THREATS] * 10_001), "10001 planted, at most 10000"),
    ],
)
def test_what_would_take_hours_is_refused(file, change, message):
    rewrite(file, change)

    assert verify(file).fault.startswith(f"statement.json: {message}")


def test_a_population_of_many_strata_is_refused(file):
    def scattered(rows):
        return [{**row, "stratum": f"s{number}"} for number, row in enumerate(rows * 5)]

    retable(file, "population.parquet", scattered)
    rewrite(file, lambda said: said["plan"].update(population=said["files"]["population.parquet"]))
    rewrite(file, recommitted(lambda plan: None))

    assert "strata, at most 100 are read" in verify(file).fault


def test_a_population_of_endless_images_is_refused(file, monkeypatch):
    """Their names take next to nothing of the file, and half a kilobyte of memory each."""
    images = len(pq.read_table(io.BytesIO(parts_of(file)["population.parquet"])))
    monkeypatch.setattr(certificate, "_MOST_IMAGES", images)
    assert verify(file).fault == ""
    monkeypatch.setattr(certificate, "_MOST_IMAGES", images - 1)
    assert f"population: {images} images, at most {images - 1} are read" in verify(file).fault


def test_many_draws_of_many_classes_are_refused(file):
    rewrite(file, shift("classes", [f"C{n}" for n in range(999)]))

    def many(plan):
        draws = enumerate(plan["draws"] * 40)
        plan.update(draws=[{**draw, "seed": f"{number}"} for number, draw in draws])

    rewrite(file, recommitted(many))

    assert verify(file).fault.endswith(
        "strata × 80 draws × 1000 bounds are too much: at most 100,000 are read"
    )


def test_what_is_not_certified(campaign, file, tmp_path):
    with pytest.raises(WorkspaceError, match=r"is there already; name another, or pass --force$"):
        certify(campaign.workspace, EstimateSettings(), file, "Ann")
    with pytest.raises(SettingsError, match=r"^--by: who signs the certificate off\?$"):
        certify(campaign.workspace, EstimateSettings(), tmp_path / "c", " ")
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "c", tmp_path / ("c" * 300)):
        with pytest.raises(WorkspaceError, match=r"c: cannot be written \("):
            certify(campaign.workspace, EstimateSettings(), path, "Ann")
    fresh = Campaign.build(tmp_path / "fresh", [1] * 3, [1])
    with pytest.raises(WorkspaceError, match="nothing was drawn yet, so there is nothing to cert"):
        certify(fresh.workspace, EstimateSettings(), tmp_path / "c", "Ann")
    fresh.clear(*map(name_of, range(1, 4)))
    with pytest.raises(WorkspaceError, match="all groups were decided before any was drawn, so"):
        certify(fresh.workspace, EstimateSettings(), tmp_path / "c", "Ann")
    assert not (tmp_path / "c").exists()


def test_what_the_commands_print(campaign, file, runner):
    words = ["-w", str(campaign.workspace.root), "--certify", str(file), "--by", "Ann", "--force"]
    written = runner.invoke(estimate_command, words, catch_exceptions=False)
    result = verify(file)

    bound = result.bound
    assert written.stdout.splitlines() == [
        f"{file}: 3 groups found, at most {bound['upper']} missed, at least "
        f"{percent_down(bound['recall'])} found; names Ann as signer (not proven)",
        *(f"rests on  {campaign.workspace.commands_in(line)}" for line in result.rests_on),
        f"commitment {result.commitment}",
        f"SHA-256 {result.sha256}",
        f"check it: sixrayd verify {file}",
        f"next: sixrayd review serve --background {words[0]} {words[1]}",
    ]
    said = runner.invoke(command, [str(file)], catch_exceptions=False)
    assert said.exit_code == 0
    assert said.stdout.splitlines()[8:15] == [
        "rests on  confidence: 95 %",
        "rests on  looks: as many as one likes",
        "rests on  method: confidence sequence by betting",
        "rests on  rule where reviewers differ: adjudicator",
        "rests on  checks: nobody chose which to answer, and a check and the queue would judge "
        "alike",
        f"rests on  sensitivity with proposals: {UNMEASURED}",
        f"rests on  sensitivity without proposals: {UNMEASURED}",
    ]
    assert said.stdout.splitlines()[-2:] == [
        f'sound: "first", names "Ann" as signer (not proven), at {result.signed_at}',
        f"SHA-256 {result.sha256}",
    ]
    document = json.loads(runner.invoke(command, [str(file), "--json"]).stdout)
    assert (document["fault"], document["sha256"]) == ("", result.sha256)
    forged = runner.invoke(command, [str(file), "--json", "--commitment", "ab"])
    assert forged.exit_code == 3
    assert json.loads(forged.stdout)["fault"].startswith("commitment: ")


def _older(folder, name, format=2):
    path = folder / "old.certificate"
    packed = Path(__file__).with_name(f"{name}-format-{format}.certificate.xz")
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return verify(path)


def test_a_certificate_of_planned_looks_before_format_3_is_sound(tmp_path):
    result = _older(tmp_path, "planned-looks")
    assert (result.fault, result.bound["upper"]) == ("", 10)
    looks = "looks: 2 of those planned, at 39.5, 65.8, 94.7 % of the groups; a share of error for "
    assert looks + "each part" in result.rests_on


def test_a_single_look_at_three_strata_before_format_3_is_sound(tmp_path):
    result = _older(tmp_path, "one-look")
    assert (result.fault, result.bound["upper"]) == ("", 8)  # which shares error among them


def test_a_certificate_before_format_4_is_sound(tmp_path):
    result = _older(tmp_path, "double-reading", 3)
    assert (result.fault, result.bound["found"]) == ("", 1)
    assert any("of 2 that a second person answered 1 were cleared" in r for r in result.rests_on)


def test_a_reviewer_whose_name_has_no_end_is_refused(file):
    def renamed(rows):
        boxes = [{"label": "Gun", "x1": 0.0, "y1": n, "x2": 1.0, "y2": n + 1.0} for n in range(500)]
        row = {**rows[0], "verdict": "contraband missed", "boxes": boxes}
        return [{**row, "reviewer": "a" * 100_000}, {**row, "reviewer": "b", "boxes": []}]

    retable(file, "decisions.parquet", renamed)

    with address_space(200 << 20):  # named with each box, it took 4 GB
        assert "a reviewer of 100,000 signs, at most 1,000 are read" in verify(file).fault
