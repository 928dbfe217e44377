"""The ingest: a release becomes shards, index and annotations."""

import hashlib
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.files import sha256_file, write_bytes, write_table
from sixrayd.core.findings import FINDING_SCHEMA, Finding, Flaw
from sixrayd.core.index import Index
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA, Source
from sixrayd.core.workspace import Run, Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.fetch import Report, fetch_release, find_place
from sixrayd.download.imagesets import ImageSets, image_id, is_image_set
from sixrayd.download.measuring import Measuring
from sixrayd.download.members import (
    IMAGES,
    TEXTS,
    Member,
    loose_members,
    tar_members,
    zip_members,
)
from sixrayd.download.register import Register
from sixrayd.download.release import (
    LooseDigest,
    Release,
    is_same_elsewhere,
    open_release,
    release_inputs,
)
from sixrayd.download.settings import DownloadResult, DownloadSettings
from sixrayd.download.sharding import PARTS, Sharding, measured_path
from sixrayd.download.tables import annotation_rows, complete, finding_rows, recall, shard_rows


def download(
    workspace: Workspace,
    settings: DownloadSettings,
    report: Report = lambda what, done, total: None,
) -> DownloadResult:
    """Take a release: check it, put its images into shards, index them, read its boxes.

    A finished ingest of the same release with the same settings is left as it is.

    Args:
        report: told of progress: of what, how much is done, of how much.

    Raises:
        ReleaseError: the release is incomplete or not what it says; see `on_error`.
        AnnotationError: an XML cannot be used and faults are to stop.
        WorkspaceError: a finished ingest of something else is there and `force` is not set.
    """
    with workspace.lock():
        place = find_place(settings.release)
        faults = Faults(settings.on_error)
        folder = workspace.root / "release"
        root = place.folder or fetch_release(place, folder, faults, report)
        release = open_release(root, workspace, faults)
        kept = {k: v for k, v in asdict(settings).items() if k not in ("release", "force")}
        run = Run(
            stage="shards",
            name="",
            settings={"release": place.name, **kept},
            inputs=release_inputs(release, workspace),
        )
        if not _begin(workspace, run, release, settings.force):
            return _result(workspace.run("shards").summary)
        ingest = _Ingest(workspace.shards, settings, faults, report)
        summary = ingest.take(release)
        paths = [p for p in workspace.shards.iterdir() if p.name not in ("plan.json", PARTS)]
        outputs = {p.name: ingest.sha256.get(p.name) or sha256_file(p) for p in sorted(paths)}
        workspace.finish(replace(run, outputs=outputs, summary=summary))
        shutil.rmtree(workspace.shards / PARTS)
        return _result(summary)


@dataclass(slots=True)
class _Ingest:
    """One pass over a release."""

    folder: Path
    settings: DownloadSettings
    faults: Faults
    report: Report
    sets: ImageSets = field(init=False)
    texts: dict[str, Member] = field(default_factory=dict)  # image id → its XML
    sha256: dict[str, str] = field(default_factory=dict)  # shard → hash
    notes: list[tuple[str, Finding]] = field(default_factory=list)  # by image id
    loose: LooseDigest = field(default_factory=LooseDigest)
    merged: int = 0

    @property
    def parts(self) -> Path:
        """What is known of finished shards, until the ingest is finished."""
        return self.folder / PARTS

    @property
    def register(self) -> Register:
        """Images that are listed, and those that have come."""
        return self.sets.register

    def take(self, release: Release) -> dict[str, Any]:
        """Write shards and tables.

        Returns:
            The fields of `DownloadResult`, and the ids of positives without XML.
        """
        self.sets = ImageSets(ClassList(self.settings.classes))
        self.parts.mkdir(exist_ok=True)
        for path in release.zips:
            for member in zip_members(path, self.faults, TEXTS):
                self._take_text(member)
        for member in loose_members(release.root, self.faults, TEXTS):
            self.loose.add(member)
            self._take_text(member)
        absent = self._write_shards(release)
        self._remove_others()
        table = self._measured()
        boxes, counts = self._settle(table)
        index = self._write_index(table, boxes)
        counts |= self._boxless(index, boxes)
        if self.notes:
            notes = "".join(f"{finding}\n" for _, finding in self.notes)
            write_bytes(self.folder / "notes.txt", notes.encode("utf-8"))
        if (findings := finding_rows(self.notes, self.register, table["image_id"])).num_rows:
            write_table(self.folder / "findings.parquet", findings, FINDING_SCHEMA)
        self.faults.write(self.folder / "skipped.jsonl")
        return {
            **_index_counts(index),
            **counts,
            "notes": len(self.notes),
            "contradictions": len(self.sets.contradictions),
            "merged": self.merged,
            "absent": absent,
            "skipped": len(self.faults.found),
            **({"loose": self.loose.hex()} if self.loose.files else {}),
            "passed_over": dict(sorted(self.faults.passed_over.items())),
        }

    def _write_shards(self, release: Release) -> int:
        """Write and measure shards; what was known before is kept.

        Returns:
            How many listed images did not come.
        """
        counted = _Counter(self.report, self.register)
        with Measuring(self.folder, self.parts, counted.measured) as measuring:

            def done(shard: str, images: int) -> None:
                if measured_path(self.parts, shard).exists():
                    counted.measured(images)
                else:
                    measuring.begin(shard, images)
                measuring.check()

            with ExitStack() as stack:
                per_shard = self.settings.images_per_shard
                shardings = {
                    source: stack.enter_context(
                        Sharding(self.folder, f"{source}s", self.parts, per_shard, done)
                    )
                    for source in Source
                }
                for member in self._images(release):
                    self._add(member, shardings)
                    counted.read()
            for sharding in shardings.values():
                self.sha256 |= sharding.sha256
            if not self.sha256:
                self.faults.write(self.folder / "skipped.jsonl")
                raise ReleaseError(
                    f"{release.root}: no image found; expected JPEGImage.tar.gz00 … or folders of "
                    "images"
                )
            absent = self._find_absent()
            measuring.wait()
        return absent

    def _remove_others(self) -> None:
        """Remove shards that an ingest of something else left."""
        for path in self.folder.glob("*.tar"):
            if path.name not in self.sha256:
                path.unlink()

    def _images(self, release: Release) -> Iterator[Member]:
        """Images of the release; XML that comes among them is put aside."""
        for name, parts in release.tars.items():
            for member in tar_members(parts, name, self.faults, IMAGES | TEXTS):
                if member.suffix in TEXTS:
                    self._take_text(member)
                else:
                    yield member
        for path in release.zips:
            yield from zip_members(path, self.faults, IMAGES)
        for member in loose_members(release.root, self.faults, IMAGES):
            self.loose.add(member)
            yield member

    def _take_text(self, member: Member) -> None:
        if is_image_set(member):
            if self.register.come:
                raise ReleaseError(
                    f"{member.where}: an image set among the images; unpack it beside the archive"
                )
            self.sets.read(member, self.faults)
        elif member.suffix == ".xml" and (image := self._id(member)):
            other = self.texts.setdefault(image, member)
            if other.data != member.data:
                self.faults.add(member.where, f"differs from {other.where}")
            elif other is not member:
                self.merged += 1

    def _id(self, member: Member) -> str:
        """The image that a file belongs to; empty when its name is a fault."""
        try:
            return image_id(member.stem)
        except ReleaseError as error:
            self.faults.add(member.where, str(error))
            return ""

    def _add(self, member: Member, shardings: dict[Source, Sharding]) -> None:
        if not (image := self._id(member)):
            return
        labelled = self.texts.get(image)
        source = self.sets.source(image)
        if labelled is not None and b"<object" in labelled.data:
            source = Source.POSITIVE
        elif source is None and labelled is not None:
            source = Source.NEGATIVE
        digest = hashlib.sha256(member.data).digest()
        if source is None:
            text = "in no image set, without annotation, and its name is neither P… nor N…"
            self.faults.add(member.where, text)
        elif (other := self.register.take(image, digest)) is None:
            shardings[source].add(image, member.data, digest.hex(), member.where)
        elif other != digest:
            self.faults.add(member.where, f"another image is called {image} and differs")
        else:
            self.merged += 1

    def _find_absent(self) -> int:
        """Count listed images that did not come; each is a fault."""
        absent = list(self.register.absent())
        if absent and self.faults.on_error == "stop":
            first = ", ".join(absent[:3])
            self.faults.add(
                "image sets",
                f"{len(absent)} of {self.register.listed} listed images are not in the release: "
                f"{first}{' …' if len(absent) > 3 else ''}",
            )
        for image in absent:
            self.faults.add(image, "listed by the image sets, not in the release")
        return len(absent)

    def _measured(self) -> pa.Table:
        """Rows of all images, sorted by id; those that cannot be read are faults."""
        tables = []
        for shard in sorted(self.sha256):
            rows = shard_rows(self.parts, shard)
            for row in rows.filter(pc.not_equal(rows["error"], "")).to_pylist():
                self.faults.add(row["where"], row["error"])
            ids = rows["image_id"].to_pylist()
            labels = pa.array(map(self.sets.labels, ids), pa.list_(pa.string()))
            shown = pa.array([self.sets.source(i) == Source.POSITIVE for i in ids], pa.bool_())
            rows = rows.drop_columns("where").append_column("labels", labels)
            tables.append(rows.append_column("shown", shown))
        return pa.concat_tables(tables).sort_by("image_id")

    def _settle(self, table: pa.Table) -> tuple[dict[str, int], dict[str, Any]]:
        """Write the boxes.

        Returns:
            Images with a usable XML, with the number of their boxes; and counts.
        """
        self.notes += self.sets.contradictions
        classes = ClassList(self.settings.classes)
        rows: list[dict[str, Any]] = []
        boxes: dict[str, int] = {}
        sizes = _sizes(table, self.texts)
        for image, member in sorted(self.texts.items()):
            if image not in sizes:
                if self.register.bits(image) is None:
                    self.faults.add(member.where, "an annotation without an image")
            elif read := annotation_rows(image, member, sizes[image], classes, self.faults):
                rows += read[0]
                self.notes += ((image, finding) for finding in read[1])
                boxes[image] = len(read[0])
                if read[0] and self.register.bits(image) == 0:
                    text = "the image sets call it negative; a positive for its boxes"
                    self.notes.append((image, Finding(Flaw.BOXED_NEGATIVE, member.where, text)))
        write_table(self.folder / "annotations.parquet", rows, ANNOTATION_SCHEMA)
        promoted = sum(1 for i, count in boxes.items() if count and self.register.bits(i) == 0)
        return boxes, {"boxes": len(rows), "negatives_with_boxes": promoted}

    def _write_index(self, table: pa.Table, boxes: Mapping[str, int]) -> Index:
        settings = self.settings
        boxed = pa.array([image for image, count in boxes.items() if count], pa.string())
        positive = np.asarray(pc.or_(table["shown"], pc.is_in(table["image_id"], boxed)))
        drawn = (settings.seed, settings.test_share, settings.hash_distance)
        index = Index(complete(table, positive, *drawn), self.folder)
        write_table(self.folder / "index.parquet", index.table, INDEX_SCHEMA)
        return index

    def _boxless(self, index: Index, boxes: Mapping[str, int]) -> dict[str, Any]:
        positives = index.rows(source=Source.POSITIVE, readable=None)["image_id"].to_pylist()
        missing = [image for image in positives if image not in boxes]
        return {
            "unannotated": len(missing),
            "unannotated_ids": missing,
            "boxless": sum(boxes.get(image) == 0 for image in positives),
        }


class _Counter:
    """Tells of progress: images read, and images measured, by any thread."""

    def __init__(self, report: Report, register: Register) -> None:
        self._report, self._register = report, register
        self._measured = 0
        self._lock = threading.Lock()

    def read(self) -> None:
        self._report("reading", self._register.come, self._register.listed)

    def measured(self, images: int) -> None:
        with self._lock:
            self._measured += images
            self._report("measuring", self._measured, self._register.listed)


def _sizes(table: pa.Table, wanted: Iterable[str]) -> dict[str, tuple[int, int] | None]:
    """Width and height of some images; None of one that cannot be read."""
    rows = table.select(["image_id", "width", "height"])
    rows = rows.filter(pc.is_in(rows["image_id"], pa.array(wanted, pa.string())))
    return {
        row["image_id"]: (row["width"], row["height"]) if row["width"] else None
        for row in rows.to_pylist()
    }


def _index_counts(index: Index) -> dict[str, int]:
    table = index.table
    positive = pc.equal(table["source"], Source.POSITIVE.value)
    sizes = pc.value_counts(table["group"]).field("counts")
    with_positive = pc.is_in(table["group"], value_set=pc.unique(table["group"].filter(positive)))
    counts = {
        "positives": pc.sum(positive),
        "unreadable": pc.sum(pc.not_equal(table["error"], "")),
        "test": pc.sum(pc.equal(table["split"], "test")),
        "duplicate_groups": pc.sum(pc.greater(sizes, 1)),
        "negatives_like_positives": pc.sum(pc.and_(with_positive, pc.invert(positive))),
    }
    found = {name: int(count.as_py() or 0) for name, count in counts.items()}
    images = len(index)
    return {
        "images": images,
        "negatives": images - found["positives"],
        "train": images - found["test"],
        **found,
    }


def _begin(workspace: Workspace, run: Run, release: Release, force: bool) -> bool:
    """Make the folder ready; what shards are there stays, to be kept where it is the same.

    Returns:
        False when the same work is already finished.
    """
    folder = workspace.shards
    if (folder / "run.json").exists():
        other = workspace.run("shards")
        if other.same_work(run) or is_same_elsewhere(other, run, release):
            shutil.rmtree(folder / PARTS, ignore_errors=True)
            return False
        if not force:
            raise WorkspaceError(
                f"{folder}: holds a finished ingest of {other.settings['release']} with other "
                "files or settings; pass --force to replace it, or name another workspace with -w"
            )
        recall(folder, other.outputs)
    workspace.begin(run, keep=True)
    for path in folder.iterdir():  # what another ingest left
        if path.suffix != ".tar" and path.name not in ("plan.json", PARTS):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return True


def _result(summary: Any) -> DownloadResult:
    # Earlier versions counted less.
    known = {name: summary[name] for name in DownloadResult.__slots__ if name in summary}
    return DownloadResult(**known)
