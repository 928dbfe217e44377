"""Why each box is there, and who has seen that nothing else is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sixrayd.core.records import ADJUDICATION, State
from sixrayd.core.staging import Staging
from sixrayd.core.voc import Provenance
from sixrayd.datasets.export_files import BOXES, PROVENANCE_SCHEMA
from sixrayd.decisions.decision import Decision
from sixrayd.export.content import Add, ExportedImage
from sixrayd.export.states import Evidence, States, detection_behind

_SETTLED = (
    *(State.SOURCE_POSITIVE, State.FOUND_POSITIVE),
    *(State.CONFUSING_NEGATIVE, State.AUDITED_EMPTY),
)


@contextmanager
def provenance_table(staging: Staging, evidence: Evidence, states: States) -> Iterator[Add]:
    """Write `provenance.parquet`, images in the order of the shards."""
    with staging.table(BOXES, PROVENANCE_SCHEMA) as add_row:

        def add(image: ExportedImage) -> None:
            said = evidence.decisions.get(image.image_id, ())
            decision = states.decided.get(image.image_id)
            common = {
                "image_id": image.image_id,
                "split": image.record.split,
                "state": str(image.state),
                "round": decision.review if decision else "",
                "answers": [answer_of(one) | {"version": one.version} for one in said],
            }
            objects = image.annotation.objects
            all_of_it = _behind(decision, said) if decision else []
            when = decision.decided_at if decision else ""
            drew = [(b.reviewers, b.decided_at) for b in decision.boxes] if decision else []
            drew = drew or [((), "")] * len(objects)
            for number, (item, (who, last)) in enumerate(zip(objects, drew, strict=True), 1):
                flags = {"difficult": item.difficult, "truncated": item.truncated}
                box = {"object": number, **item.box.as_row(), **flags}
                box |= {"reviewers": list(who) or all_of_it, "decided_at": last or when}
                add_row(common | box | _detection(item.provenance, decision, evidence))

        yield add


def _behind(decision: Decision, said: tuple[Decision, ...]) -> list[str]:
    """Whose answers were settled to the decision: an adjudicator's alone, where there is one."""
    ruled = [one for one in said if one.lane == ADJUDICATION == decision.lane]
    return sorted({one.reviewer for one in ruled or said if one.verdict == decision.verdict})


def _detection(
    provenance: Provenance | None, decision: Decision | None, evidence: Evidence
) -> dict[str, Any]:
    known = provenance or Provenance("")
    behind = detection_behind(known.candidate, decision, evidence) if decision else None
    mining = behind.mining if behind else ""
    return {
        "origin": known.origin,
        "candidate": known.candidate,
        "model": known.model,
        "model_sha256": evidence.weights.get((mining, known.model), ""),
        "score": known.score,
        "mining": mining,
    }


def answer_of(decision: Decision) -> dict[str, str]:
    """Who said what about an image, and when."""
    return {
        "reviewer": decision.reviewer,
        "verdict": str(decision.verdict),
        "decided_at": decision.decided_at,
        "round": decision.review,
        "lane": decision.lane,
    }


def looks_of(image: ExportedImage, evidence: Evidence) -> list[Mapping[str, str]]:
    """What an image's XML may say of it: its state, and the answers about it."""
    said = evidence.decisions.get(image.image_id, ())
    return [{"state": str(image.state)}, *(answer_of(decision) for decision in said)]


def absence_rows(evidence: Evidence, states: States) -> Iterator[dict[str, Any]]:
    """Rows of `ABSENCE_SCHEMA` by image id."""
    table = states.table
    known = {image_id: n for n, image_id in enumerate(table["image_id"].to_pylist())}
    for image_id, said in sorted(evidence.decisions.items()):
        if image_id not in known:
            continue
        row = table.slice(known[image_id], 1).to_pylist()[0]
        if row["state"] not in _SETTLED:
            continue
        shown = _shown(image_id, evidence, states)
        about = {key: row[key] for key in ("image_id", "split", "state")}
        absent = [label for label in evidence.classes.names if label not in shown]
        yield from (about | answer_of(decision) | {"absent": absent} for decision in said)


def _shown(image_id: str, evidence: Evidence, states: States) -> set[str]:
    """Classes that an image shows, as far as people or the release say."""
    named = set(evidence.index.record(image_id).labels)
    decision = states.decided.get(image_id)
    if decision is None:
        return named | {a.box.label for a in evidence.annotations.get(image_id, ())}
    return named | {evidence.classes.canonical(item.box.label) for item in decision.boxes}
