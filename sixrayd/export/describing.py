"""What tells of an export, in it: for programs and for people."""

import json

from sixrayd.core.staging import Staging
from sixrayd.export.about import DATASET, Facts, dataset_document
from sixrayd.export.card import card
from sixrayd.export.parquet import parts_in


def write_about(staging: Staging, facts: Facts) -> None:
    """Write `dataset.json` and the card, of all files that are there."""
    document = dataset_document(facts, staging.sha256)
    staging.write(DATASET, _json(document))
    staging.write("README.md", card(facts, parts_in(staging.sha256)).encode())


def _json(document: object) -> bytes:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()
