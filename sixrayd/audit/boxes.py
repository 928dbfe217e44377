"""Boxes: those that repeat another, are narrow, or are unlike their class."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.audit.bulk import bounds
from sixrayd.audit.found import found
from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.tables import IngestTables, Marks, marks
from sixrayd.core.arrays import FloatArray
from sixrayd.core.boxes import EDGES
from sixrayd.core.classes import ClassList
from sixrayd.core.findings import Flaw
from sixrayd.core.words import counted

# Measure → least interquartile range to go by, in its own unit.
_SPREADS = {"area": 0.4, "shape": 0.2, "across": 0.1, "down": 0.1}

_TINY = 1e-6  # pixel; a box without area has a logarithm, too


def box_findings(
    tables: IngestTables, classes: ClassList, settings: AuditSettings, rules: list[str]
) -> Iterator[pa.Table]:
    """What is odd about the boxes.

    Args:
        rules: told what counts as unlike a class.
    """
    repeated = repeated_boxes(tables.boxes)
    yield _of(tables, Flaw.REPEATED_BOX, repeated, "the same box of the same class stands before")
    narrow = narrow_boxes(tables.xyxy, settings.narrow_px)
    sides = tables.xyxy[:, 2:] - tables.xyxy[:, :2]  # (B, 2)
    texts = [f"{width:g} x {height:g} pixels" for width, height in sides[narrow]]
    yield _of(tables, Flaw.NARROW_BOX, narrow, pa.array(texts, pa.string()))
    yield from _unlike(tables, classes, settings, rules)


def repeated_boxes(boxes: pa.Table) -> Marks:
    """(B,) which boxes have the class, image and edges of one before them."""
    keys = ["image_id", "label", *EDGES]
    rows = boxes.select(keys).append_column("row", pa.array(np.arange(len(boxes))))
    first = rows.group_by(keys, use_threads=False).aggregate([("row", "min")])["row_min"]
    repeated = np.ones(len(boxes), bool)
    repeated[np.asarray(first)] = False
    return repeated


def narrow_boxes(xyxy: FloatArray, narrow_px: float) -> Marks:
    """(B,) which boxes have a side shorter than that many pixels."""
    narrow: Marks = (xyxy[:, 2:] - xyxy[:, :2]).min(axis=1, initial=np.inf) < narrow_px
    return narrow


def _of(tables: IngestTables, flaw: Flaw, mask: Marks, text: str | pa.Array) -> pa.Table:
    rows = tables.boxes.filter(pa.array(mask))
    return found(flaw, rows["image_id"], text, box=rows["box_id"])


def _unlike(
    tables: IngestTables, classes: ClassList, settings: AuditSettings, rules: list[str]
) -> Iterator[pa.Table]:
    measures = _measures(tables)
    for label in classes.names:
        mine = np.flatnonzero(marks(pc.equal(tables.boxes["label"], label)))
        if len(mine) < settings.least:
            continue
        reasons: dict[int, list[str]] = {}
        limits = []
        for name, values in measures.items():
            of_class = values[mine]
            low, high = bounds(of_class, settings.reach, _SPREADS[name])
            if name in ("area", "shape") or low > 0 or high < 1:
                limits.append(f"{name} {_shown(name, low)} to {_shown(name, high)}")
            for row in mine[(of_class < low) | (of_class > high)]:
                reasons.setdefault(int(row), []).append(f"{name} {_shown(name, values[row])}")
        rules.append(f"{label}, {counted(len(mine), 'box')}: {', '.join(limits)}")
        rows = tables.boxes.take(pa.array(sorted(reasons), pa.int64()))
        texts = [f"{label}: {', '.join(reasons[row])}" for row in sorted(reasons)]
        yield found(
            Flaw.ODD_BOX, rows["image_id"], pa.array(texts, pa.string()), box=rows["box_id"]
        )


def _measures(tables: IngestTables) -> dict[str, FloatArray]:
    """(B,) each: logarithm of area and of width by height, and the centre in the image, 0..1."""
    xyxy = tables.xyxy
    width, height = np.maximum(xyxy[:, 2:] - xyxy[:, :2], _TINY).T
    size = [np.asarray(tables.index.table[side])[tables.image] for side in ("width", "height")]
    across, down = (
        (xyxy[:, edge] + xyxy[:, edge + 2]) / 2 / np.maximum(size[edge], 1) for edge in (0, 1)
    )
    return {
        "area": np.log(width * height),
        "shape": np.log(width / height),
        "across": across,
        "down": down,
    }


def _shown(name: str, value: float) -> str:
    if name == "area":
        return f"{np.exp(value):.0f} px²"
    return f"{np.exp(value):.2f}" if name == "shape" else f"{value:.2f}"
