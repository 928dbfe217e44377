"""Croissant's metadata agrees with the files; `test_readers_apart.py` asks its own validator."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sixrayd.core.files import sha256_file
from sixrayd.export.forms import FORMS
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.workspaces import Small


def test_files_patterns_and_columns_are_those_of_the_export(tmp_path):
    settings = ExportSettings(forms=tuple(FORMS), sets=("confusing",), version="1.2.0")
    tree = Path(export(Small().build(tmp_path / "ws"), settings).tree)
    said = json.loads((tree / "croissant.json").read_text("utf-8"))

    assert (said["name"], said["version"]) == ("SIXray corrected first", "1.2.0")
    objects = [each for each in said["distribution"] if each["@type"] == "cr:FileObject"]
    assert {o["contentUrl"]: o["sha256"] for o in objects} == {
        path: sha256_file(tree / path)
        for path in (
            *("manifests/images.parquet", "manifests/dataset.json"),
            *("provenance.parquet", "absence.parquet"),
        )
    }
    sets = [each for each in said["distribution"] if each["@type"] == "cr:FileSet"]
    assert [
        s["@id"] for s in sets if not [p for p in tree.glob(s["includes"]) if p.is_file()]
    ] == []
    assert len(sets) == 8
    for records in said["recordSet"]:
        (path,) = {field["source"]["fileObject"]["@id"] for field in records["field"]}
        table = pq.read_schema(tree / path)
        plain = [column.name for column in table if not pa.types.is_nested(column.type)]
        assert [f["source"]["extract"]["column"] for f in records["field"]] == plain


def test_a_version_that_nobody_named_follows_from_the_content(tmp_path):
    versions = []
    for number, sets in enumerate(((), (), ("confusing",))):
        workspace = Small().build(tmp_path / f"ws{number}")
        tree = export(workspace, ExportSettings(sets=sets, out=tmp_path / f"out{number}")).tree
        document = json.loads((Path(tree) / "manifests/dataset.json").read_text("utf-8"))
        versions.append(document["version"])

    assert versions[0] == versions[1] != versions[2]
    assert versions[0].startswith("0.0.0+") and len(versions[0]) == 18
