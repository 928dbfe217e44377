"""What tells of an export, in it: for programs and for people."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from sixrayd.core.staging import Staging
from sixrayd.datasets.export_files import DATASET
from sixrayd.export.about import Facts, dataset_document
from sixrayd.export.card import card
from sixrayd.export.changelog import CHANGELOG, Descent, changelog
from sixrayd.export.croissant import CROISSANT, croissant
from sixrayd.export.parquet import parts_in


def write_about(staging: Staging, facts: Facts, descent: Descent) -> None:
    """Write `dataset.json`, `croissant.json`, changelog and card, of all files that are there."""
    version = facts.version or content_version(staging.sha256)
    facts = replace(facts, version=version, parent=descent.parent)
    if text := changelog(descent, staging.root, version):
        staging.write(CHANGELOG, text.encode())
    staging.write(DATASET, _json(dataset_document(facts, staging.sha256)))
    staging.write(CROISSANT, _json(croissant(facts, staging.sha256)))
    staging.write("README.md", card(facts, parts_in(staging.sha256)).encode())


def content_version(files: Mapping[str, str]) -> str:
    """A version that nobody has named, by what the files hold.

    Args:
        files: SHA-256 by path.
    """
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    return f"0.0.0+{hashlib.sha256(lines.encode()).hexdigest()[:12]}"


def _json(document: object) -> bytes:
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode()
