"""What tells of an export, in it: for programs and for people."""

import json
from dataclasses import replace

from sixrayd.core.staging import Staging, content_digest
from sixrayd.datasets.export_files import CARD, CHANGELOG, CROISSANT, DATASET, content_version
from sixrayd.export.about import Facts, dataset_document
from sixrayd.export.card import card
from sixrayd.export.changelog import Descent, changelog
from sixrayd.export.croissant import croissant
from sixrayd.export.parquet import load_config


def write_about(staging: Staging, facts: Facts, descent: Descent) -> None:
    """Write `dataset.json`, `croissant.json`, changelog and card, of all files that are there."""
    version = facts.version or content_version(content_digest(staging.sha256))
    facts = replace(facts, version=version, parent=descent.parent)
    if text := changelog(descent, staging.root, version):
        staging.write(CHANGELOG, text.encode())
    staging.write(DATASET, _json(dataset_document(facts, staging.sha256)))
    staging.write(CROISSANT, _json(croissant(facts, staging.sha256)))
    config = load_config(staging.sha256, "parquet/data")
    staging.write(CARD, card(facts, config).encode())


def _json(document: object) -> bytes:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()
