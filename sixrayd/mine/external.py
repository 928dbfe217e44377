"""Another model's detections, in COCO or VOC form → candidates like our own."""

import json
import reprlib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.errors import (
    AnnotationError,
    SettingsError,
    WorkspaceError,
    printable,
    without_advice,
)
from sixrayd.core.files import check_plain, open_plain, sha256_file, write_bytes
from sixrayd.core.findings import Flaw, bounded
from sixrayd.core.growth import Allowance
from sixrayd.core.index import Index
from sixrayd.core.progress import Report, untold
from sixrayd.core.read_back import read_back
from sixrayd.core.records import CANDIDATE_SCHEMA, Source
from sixrayd.core.runs import check_short
from sixrayd.core.table_builder import TableBuilder
from sixrayd.core.tables import write_table
from sixrayd.core.voc import MAX_BYTES as MAX_XML_BYTES
from sixrayd.core.voc import MAX_OBJECTS, read_voc
from sixrayd.core.workspace import Run, Workspace
from sixrayd.datasets.coco_json import side_px
from sixrayd.datasets.packing import member_bytes, opened_zip
from sixrayd.datasets.places import BROKEN, walk
from sixrayd.mine.coco_results import (
    RowError,
    check_size,
    document_of,
    edges_of,
    list_of,
    name_of,
    names_of,
    number_of,
)
from sixrayd.mine.ranking import rank_candidates
from sixrayd.mine.worker import PART_SCHEMA

_MOST_FAULTS = 1_000_000  # that are listed
# Reasons, beside what any set may have; no more kinds of them than these, whatever the files say.
_NOT_IN_RELEASE, _NO_SCORE = "image that the release lacks", "score that is none from 0 to 1"
_TOO_MANY = "detection beyond those that an image may have"


@dataclass(frozen=True, slots=True)
class ExternalSettings:
    """Detections to take over.

    Args:
        detections: COCO's list of results or a COCO dataset whose annotations carry scores, as
            JSON; or a folder or zip of VOC XML.
        name: of the result.
        coco_images: the COCO dataset that names the images and classes of a list of results.
        model_name: what made the detections; the result's name by default.
        threshold: least score of a candidate, 0..1.
        on_error: "skip" lists what cannot be used in `skipped.jsonl`; "stop" ends at the first.
        force: replace a mining of the same name of other detections, settings or another release.

    Raises:
        SettingsError: no name, or the threshold is out of range.
    """

    detections: Path
    name: str
    coco_images: Path | None = None
    model_name: str = ""
    threshold: float = 0.1
    on_error: Literal["skip", "stop"] = "skip"
    force: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise SettingsError("--detections: needs --name for the result")
        if not 0 <= self.threshold <= 1:
            raise SettingsError(f"threshold {self.threshold}: needs to lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class ExternalResult:
    """What was taken over.

    Args:
        flagged: negatives with a candidate.
        below_threshold, not_negatives: detections passed over: too low a score, or an image
            that the release does not call negative.
        skipped: what cannot be used; `skipped.jsonl` has a line for each.
        reasons: how many of these for which kind of reason.
    """

    name: str
    model: str
    folder: str
    flagged: int
    candidates: int
    below_threshold: int
    not_negatives: int
    skipped: int
    fresh: bool
    reasons: Mapping[str, int] = field(default_factory=dict)


def take_detections(
    workspace: Workspace, settings: ExternalSettings, report: Report = untold
) -> ExternalResult:
    """Write `mine/NAME` as a finished mining from another model's detections.

    Images are known by the stem of their file names. Boxes are cut at the image's edges.

    Args:
        report: told of progress.

    Raises:
        SettingsError: there is no such file, or the images of a list of results are not named.
        WorkspaceError: nothing is ingested, or the name is taken.
        AnnotationError: not COCO or VOC, too large, no row can be used, or one cannot and
            `on_error` is "stop".
    """
    files = _files(settings)
    model = settings.model_name or settings.name
    lasting = {"model": model, "threshold": settings.threshold}
    with workspace.lock("mine"):
        inputs = workspace.upstream(("shards", "")) | workspace.inputs(*files)
        run = Run("mine", settings.name, lasting, inputs)
        folder = workspace.folder("mine", run.name)
        check_short(run, folder / "run.json")
        if not settings.force and (why := workspace.other_work(run)):
            raise WorkspaceError(
                f"{folder}: holds another mining ({why}); pass --force to replace it, or take "
                "another --name"
            )
        fresh = not workspace.is_done(run)
        if fresh:
            taking = _Taking(workspace, settings, report)
            taking.take(files)
            taking.check_any()
            workspace.begin(run)
            run = taking.write(run, folder)
            workspace.finish(run)
        summary = workspace.run("mine", run.name).summary
    known = {"name": run.name, "model": model, "folder": str(folder), "fresh": fresh}
    return read_back(ExternalResult, summary, f"{folder}/run.json", **known)


def _files(settings: ExternalSettings) -> list[Path]:
    path = settings.detections
    for given in filter(None, (path, settings.coco_images)):
        if not given.exists():
            raise SettingsError(f"{given}: no such file or folder")
        check_plain(given)
    if path.is_dir():
        files = sorted(_xml_files(path))
        if not files:
            raise AnnotationError(f"{path}: holds no .xml; expected a folder of VOC annotations")
    else:
        files = [path]
    for file in files:
        if any("\ud800" <= letter <= "\udfff" for letter in str(file)):
            raise AnnotationError(f"{str(file)!r}: its name is not UTF-8; rename it")
    if settings.coco_images is None:
        return files
    if path.is_dir() or zipfile.is_zipfile(path):
        raise SettingsError(f"--coco-images: {path} is VOC, which names its own images")
    return [*files, settings.coco_images]


def _xml_files(root: Path) -> Iterator[Path]:
    """XML files in a folder, and in those in it, to which no link leads.

    Raises:
        AnnotationError: folders lie deeper in others than is read.
    """
    for folder, _, names in walk(root):
        paths = (Path(folder, name) for name in names)
        yield from (p for p in paths if p.suffix.lower() == ".xml" and p.is_file())


class _Taking:
    """What has been read so far, and what could not be used."""

    def __init__(
        self, workspace: Workspace, settings: ExternalSettings, report: Report = untold
    ) -> None:
        self.report, self.settings = report, settings
        self.classes = workspace.classes()
        table = Index.load(workspace).table
        columns = ("image_id", "source", "error", "width", "height")
        self.known = {
            image_id: (source, error, (width, height))
            for image_id, source, error, width, height in zip(
                *(table[name].to_pylist() for name in columns), strict=True
            )
        }
        self.found = TableBuilder(PART_SCHEMA)
        self.faults: list[dict[str, str]] = []
        self.counts: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()  # by image
        self.reasons: Counter[str] = Counter()  # of faults

    def take(self, files: list[Path]) -> None:
        """Read all of the detections."""
        path = self.settings.detections
        if path.is_dir():
            self._take_voc((p.relative_to(path).as_posix(), partial(_read, p)) for p in files)
        elif zipfile.is_zipfile(path):
            check_size(path)
            with open_plain(path) as file, _listed(path, file) as archive:
                allowance = Allowance(path.stat().st_size)
                names = sorted(n for n in archive.namelist() if n.lower().endswith(".xml"))
                read = partial(_read_member, archive, allowance)
                self._take_voc((name, partial(read, name)) for name in names)
        else:
            self._take_coco()

    def check_any(self) -> None:
        """Refuse what is wholly skipped: that is no mining that found nothing.

        Raises:
            AnnotationError: it is.
        """
        if not self.faults or self.counts.total() or len(self.found):
            return
        kinds = ", ".join(f"{number:,} × {why}" for why, number in self.reasons.most_common())
        first = self.faults[0]
        raise AnnotationError(
            f"{self.settings.detections}: none of its detections can be used, so nothing is taken "
            f"over: {kinds}; first {first['where']}: {first['error']}; take those of this release"
        )

    def write(self, run: Run, folder: Path) -> Run:
        """Write the candidates; the run with its outputs and counts."""
        lines = (json.dumps(fault, ensure_ascii=False) + "\n" for fault in self.faults)
        write_bytes(folder / "skipped.jsonl", "".join(lines).encode("utf-8", "backslashreplace"))
        found = rank_candidates(self.found.table(), run.name)
        models = pa.repeat(pa.scalar(run.settings["model"]), found.num_rows)
        place = found.schema.get_field_index("model")
        found = found.set_column(place, CANDIDATE_SCHEMA.field(place), models)
        write_table(folder / "candidates.parquet", found, CANDIDATE_SCHEMA)
        names = ("candidates.parquet", "skipped.jsonl")
        summary = {
            "flagged": pc.count_distinct(found["image_id"]).as_py(),
            "candidates": found.num_rows,
            "below_threshold": self.counts["below_threshold"],
            "not_negatives": self.counts["not_negatives"],
            "skipped": len(self.faults),
            "reasons": dict(self.reasons.most_common()),
        }
        outputs = {name: sha256_file(folder / name) for name in names}
        return replace(run, outputs=outputs, summary=summary)

    def _take_coco(self) -> None:
        path, named = self.settings.detections, self.settings.coco_images
        document = document_of(path)
        if isinstance(document, list) and named is None:
            raise SettingsError(
                f"{path}: a list of results does not name its images; add --coco-images DATASET"
            )
        dataset, where = (document, path) if named is None else (document_of(named), named)
        images, classes = (
            names_of(dataset, where, table, key)
            for table, key in (("images", "file_name"), ("categories", "name"))
        )
        sizes = {
            row["id"]: (side_px(row.get("width")), side_px(row.get("height")))
            for row in list_of(dataset, where, "images")
        }
        rows = document if isinstance(document, list) else list_of(document, path, "annotations")
        first: dict[str, str] = {}  # what images are called, by stem
        for number, row in enumerate(rows, 1):
            self.report("detections", number, len(rows))
            try:
                name = name_of(row, "image_id", images)
                stem = Path(name.replace("\\", "/")).stem
                if (size_wh := self._negative(stem)) is not None:
                    if (known := first.setdefault(stem, name)) != name:
                        text = f"is of a second image {stem}; {reprlib.repr(known)} is taken"
                        raise RowError(Flaw.TWO_FILES, text)
                    if 0 not in (said := sizes[row["image_id"]]) and said != size_wh:
                        judged = "the image is {} x {}".format(*size_wh)
                        text = f"image {stem}: said to be {said[0]} x {said[1]}; {judged}"
                        raise RowError(Flaw.OTHER_SIZE, text)
                    label = name_of(row, "category_id", classes)
                    self._keep(stem, label, edges_of(row.get("bbox")), row.get("score"), size_wh)
            except RowError as fault:
                self._fault(f"{path.name}: detection {number}", str(fault), fault.reason)

    def _take_voc(self, files: Iterator[tuple[str, Callable[[], bytes]]]) -> None:
        seen: set[str] = set()
        for number, (where, read) in enumerate(files, 1):
            self.report("files of detections", number, 0)
            try:
                self._take_xml(where, read, seen)
            except RowError as fault:
                self._fault(where, str(fault), fault.reason)

    def _take_xml(self, where: str, read: Callable[[], bytes], seen: set[str]) -> None:
        stem = Path(where).stem
        if stem in seen:
            raise RowError(Flaw.TWO_FILES, f"a second file for {stem}; the first is taken")
        seen.add(stem)
        if (size_wh := self._negative(stem)) is None:
            return
        try:
            found = read_voc(read(), where, self.classes, size_wh, self.settings.on_error)
        except (AnnotationError, *BROKEN) as error:
            if isinstance(error, AnnotationError) and self.settings.on_error == "stop":
                raise
            text = str(error).removeprefix(f"{where}: ")
            raise RowError(Flaw.UNREADABLE_LABELS, text) from error
        for finding in found.findings:
            if finding.flaw == Flaw.OTHER_SIZE and "says" in finding.text:
                raise RowError(finding.flaw, str(finding).removeprefix(f"{where}: "))
        left_out = [each for each in found.findings if each.text.endswith("; left out")]
        for finding in left_out:
            self._fault(where, str(finding).removeprefix(f"{where}: "), finding.flaw)
        self.counts["empty"] += not (found.objects or left_out)
        for number, item in enumerate(found.objects, 1):
            score = item.provenance.score if item.provenance else None
            try:
                given = 1.0 if score is None else score
                self._keep(stem, item.box.label, item.box.xyxy, given, size_wh)
            except RowError as fault:
                self._fault(f"{where}: object {number}", str(fault), fault.reason)

    def _negative(self, stem: str) -> tuple[int, int] | None:
        """Width and height of a negative, None for a positive."""
        if stem not in self.known:
            text = f"image {reprlib.repr(stem)}: is not in the release"
            raise RowError(_NOT_IN_RELEASE, text)
        source, error, size_wh = self.known[stem]
        if source != Source.NEGATIVE:
            self.counts["not_negatives"] += 1
            return None
        if error:
            text = f"image {stem}: cannot be read ({printable(error, 200)})"
            raise RowError(Flaw.UNREADABLE_IMAGE, text)
        return size_wh

    def _keep(
        self,
        stem: str,
        name: str,
        edges: tuple[float, float, float, float],
        score: Any,
        size_wh: tuple[int, int],
    ) -> None:
        if not self.classes.covers(name):
            text = f"class {reprlib.repr(name)}: is none of {self.classes.words}"
            raise RowError(Flaw.UNKNOWN_CLASS, text)
        if not 0 <= (value := number_of(score)) <= 1:
            text = f"score {reprlib.repr(score)}: expected a number from 0 to 1"
            raise RowError(_NO_SCORE, text)
        box = clip_box(Box(self.classes.canonical(name), *edges), *size_wh)
        if box is None:
            corners = ", ".join(f"{edge:g}" for edge in edges)
            text = f"box ({corners}): lies outside the image of {size_wh[0]} x {size_wh[1]}"
            raise RowError(Flaw.OUTSIDE, text)
        if value < self.settings.threshold:
            self.counts["below_threshold"] += 1
            return
        self.kept[stem] += 1
        if self.kept[stem] > MAX_OBJECTS:  # which no table of boxes may have
            text = f"image {stem}: has {MAX_OBJECTS:,} detections already; raise --threshold"
            raise RowError(_TOO_MANY, text)
        self.found.add({"image_id": stem, **asdict(box), "score": value, "error": ""})

    def _fault(self, where: str, what: str, reason: str) -> None:
        if self.settings.on_error == "stop":
            raise AnnotationError(f"{where}: {what}; mend it or pass --on-error skip")
        if len(self.faults) == _MOST_FAULTS:
            raise AnnotationError(
                f"{self.settings.detections}: more than {_MOST_FAULTS:,} detections cannot be "
                f"used, the last at {where}: {without_advice(what)}; leave out what is not of this "
                "release"
            )
        self.reasons[str(reason)] += 1
        where, what = bounded(where, without_advice(what))
        self.faults.append({"where": where, "error": what})


def _listed(path: Path, file: IO[bytes]) -> zipfile.ZipFile:
    try:
        return opened_zip(file)
    except BROKEN as error:
        raise AnnotationError(f"{path}: not a readable zip ({error})") from error


def _read(path: Path) -> bytes:
    with open_plain(path) as file:
        return file.read(MAX_XML_BYTES + 1)


def _read_member(archive: zipfile.ZipFile, allowance: Allowance, name: str) -> bytes:
    entry = archive.getinfo(name)
    if entry.file_size > MAX_XML_BYTES:
        raise AnnotationError(f"{name}: {entry.file_size} bytes, expected at most {MAX_XML_BYTES}")
    return member_bytes(archive, entry, allowance)
