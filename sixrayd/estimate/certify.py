"""The certificate: one file from which anybody can compute the bound again."""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import plain_bytes, refuse_others, write_bytes
from sixrayd.core.pseudonyms import DIGITS, pseudonym
from sixrayd.core.staging import sole_writer
from sixrayd.core.storage import is_refusal, refusal
from sixrayd.core.tables import table_bytes
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.sample import SampleFolder
from sixrayd.estimate.settings import EstimateSettings
from sixrayd.estimate.stage import EstimateInputs, gather, require_first_look
from sixrayd.statistics.assumptions import assumptions
from sixrayd.statistics.certificate import STATEMENT, Statement
from sixrayd.statistics.standing import answer_rows

_MOMENT = (1980, 1, 1, 0, 0, 0)  # of all parts: equal content gives equal bytes
_MARK = re.compile(rb"(?s)PK\x03\x04.{26}" + re.escape(STATEMENT.encode()))  # of a zip's first part


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate that was written."""

    file: str
    sha256: str
    signed_by: str
    commitment: str
    found: int
    upper: int
    recall: float
    rests_on: tuple[str, ...]


def certify(
    workspace: Workspace, settings: EstimateSettings, file: Path, by: str, force: bool = False
) -> Certified:
    """Write a certificate; reviewers go by pseudonyms in it.

    Args:
        by: who signs it off.
        force: replace a certificate that is there.

    Raises:
        WorkspaceError: nothing was drawn yet, a file has changed, one is there already, or it
            cannot be written.
        SettingsError: nobody signs, a single look that was none, or what is there is no
            certificate.
    """
    if not by.strip():
        raise SettingsError("--by: who signs the certificate off?")
    with sole_writer(file):  # of two at once the later would replace the other's
        return _certified(workspace, settings, file, by.strip(), force)


def _certified(
    workspace: Workspace, settings: EstimateSettings, file: Path, by: str, force: bool
) -> Certified:
    with _writing(file):
        if file.exists() and not force:
            raise WorkspaceError(f"{file}: is there already; name another, or pass --force")
        refuse_others(file, _MARK, "certificate")
    with workspace.lock("estimate"):
        material = gather(workspace, settings.name, settings.bound.consensus)
        require_first_look(workspace, material, settings.bound)
        parts = _parts(workspace, material)
    outcome = material.outcome(settings.bound)
    statement = _statement(material, settings, by, parts)
    statement = replace(statement, outcome=outcome.document())
    text = json.dumps(asdict(statement), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    data = _zipped({STATEMENT: text.encode(), **parts})
    with _writing(file):
        write_bytes(file, data)
    return Certified(
        file=str(file),
        sha256=hashlib.sha256(data).hexdigest(),
        signed_by=statement.signed_by,
        commitment=statement.commitment,
        found=outcome.bound.found,
        upper=outcome.bound.upper,
        recall=outcome.bound.recall,
        rests_on=assumptions(outcome, settings.bound),
    )


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not is_refusal(error):
            raise
        raise WorkspaceError(refusal(error, file)) from error


def _parts(workspace: Workspace, material: EstimateInputs) -> dict[str, bytes]:
    folder = SampleFolder(workspace, material.name)
    if material.plan is None:
        raise WorkspaceError(
            f"{folder.path}: nothing was drawn yet, so there is nothing to certify; run "
            "`sixrayd estimate --sample N` first"
            if material.population.undecided_at_first
            else f"{folder.path}: all groups were decided before any was drawn, so there is "
            "nothing to certify"
        )
    known = material.population.rows_of(material.said)
    alias = _aliases(workspace, {d.reviewer for i in known for d in material.said[i]})
    said = {
        image_id: tuple(replace(d, reviewer=alias[d.reviewer]) for d in decisions)
        for image_id, decisions in material.said.items()
        if image_id in known
    }
    return {
        "population.parquet": plain_bytes(folder.population_file),
        "gone.parquet": table_bytes(folder.gone(len(material.plan.draws))),
        "sample.parquet": plain_bytes(folder.sample_file),
        "decisions.parquet": table_bytes(answer_rows(said)),
    }


def _aliases(workspace: Workspace, names: set[str]) -> dict[str, str]:
    """A pseudonym for each, and for no two the same: who saw a find decides what it counts."""
    for digits in (DIGITS, 4 * DIGITS):
        found = {name: pseudonym(workspace, digits)(name) for name in names}
        if len(set(found.values())) == len(names):
            break
    return found


def _statement(
    material: EstimateInputs, settings: EstimateSettings, by: str, parts: Mapping[str, bytes]
) -> Statement:
    plan = material.plan
    assert plan is not None  # `_parts` has seen to it
    return Statement(
        name=material.name,
        signed_by=by,
        signed_at=datetime.now(UTC).isoformat(timespec="seconds"),
        plan=plan,
        commitment=plan.commitment,
        classes=material.labels,
        settings=settings.bound,
        planted=material.planted,
        shams=material.shams,
        files={name: hashlib.sha256(data).hexdigest() for name, data in parts.items()},
        outcome={},
    )


def _zipped(parts: Mapping[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), data)
    return sink.getvalue()
