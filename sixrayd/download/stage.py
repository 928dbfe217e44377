"""The ingest: a release becomes shards, index and annotations."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.files import sha256_file, write_bytes, write_table
from sixrayd.core.index import Index
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA, Source
from sixrayd.core.shards import ShardWriter
from sixrayd.core.workspace import Run, Workspace
from sixrayd.download.acquire import (
    acquire,
    archives_are_gone,
    remove_fetched,
    resolved,
    settings_of,
)
from sixrayd.download.faults import Faults
from sixrayd.download.imagesets import ImageSets, image_id, is_image_set
from sixrayd.download.members import (
    IMAGES,
    TEXTS,
    Member,
    loose_members,
    tar_members,
    zip_members,
)
from sixrayd.download.place import find_place
from sixrayd.download.release import Release, open_release, release_inputs
from sixrayd.download.scan import MeasuredImage, scan_all
from sixrayd.download.settings import DownloadResult, DownloadSettings
from sixrayd.download.sources import Expected
from sixrayd.download.tables import IndexRows, annotation_rows
from sixrayd.download.transfer import Report


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
        place = find_place(settings.release, settings.source)
        settings = resolved(settings, place)
        faults = Faults(settings.on_error)
        run = Run("shards", "", settings_of(settings, place), workspace.removed_inputs())
        gone = archives_are_gone(place, workspace)
        if gone and _is_finished(workspace, run, settings.force):
            remove_fetched(place, workspace, settings)
            return _result(workspace.run("shards").summary)
        root = acquire(place, workspace, settings, faults, report)
        release = open_release(root, workspace, faults)
        run = replace(run, inputs=release_inputs(release, workspace))
        if not _begin(workspace, run, settings.force):
            remove_fetched(place, workspace, settings)
            return _result(workspace.run("shards").summary)
        ingest = _Ingest(workspace.shards, settings, faults, report, place.expected)
        summary = ingest.take(release)
        names = sorted(p.name for p in workspace.shards.iterdir() if p.name != "plan.json")
        outputs = {n: ingest.sha256.get(n) or sha256_file(workspace.shards / n) for n in names}
        workspace.finish(replace(run, outputs=outputs, summary=summary))
        remove_fetched(place, workspace, settings)
        return _result(summary)


@dataclass(slots=True)
class _Ingest:
    """One pass over a release."""

    folder: Path
    settings: DownloadSettings
    faults: Faults
    report: Report
    expected: Expected = field(default_factory=Expected)
    sets: ImageSets = field(init=False)
    rows: IndexRows = field(default_factory=IndexRows)
    hashes: dict[str, bytes] = field(default_factory=dict)  # image id → SHA-256 of its bytes
    texts: dict[str, Member] = field(default_factory=dict)  # image id → its XML
    sha256: dict[str, str] = field(default_factory=dict)  # shard → hash
    merged: int = 0

    def take(self, release: Release) -> dict[str, Any]:
        """Write shards and tables.

        Returns:
            The fields of `DownloadResult`, the ids of positives without XML, and of announced
            ones that are absent.
        """
        self.sets = ImageSets(ClassList(self.settings.classes))
        for member in _texts(release, self.faults):
            self._take_text(member)
        self._write_shards(self._images(release))
        if not self.hashes:
            self.faults.write(self.folder / "skipped.jsonl")
            raise ReleaseError(
                f"{release.root}: no image found; expected JPEGImage.tar.gz00 … or folders of JPEGs"
            )
        absent, announced = self._find_absent()
        settings = self.settings
        table = self.rows.table(settings.seed, settings.test_share, settings.hash_distance)
        write_table(self.folder / "index.parquet", table, INDEX_SCHEMA)
        index = Index(table, self.folder)
        counts = self._write_annotations(index)
        self.faults.write(self.folder / "skipped.jsonl")
        return {
            **_index_counts(index),
            **counts,
            "merged": self.merged,
            "absent": absent,
            **({"absent_as_announced": announced} if announced else {}),
            "skipped": len(self.faults.found),
            "passed_over": dict(sorted(self.faults.passed_over.items())),
        }

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
        yield from loose_members(release.root, self.faults, IMAGES)

    def _take_text(self, member: Member) -> None:
        if is_image_set(member):
            if self.hashes:
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

    def _write_shards(self, members: Iterator[Member]) -> None:
        total = len(self.sets.bits)
        with ExitStack() as stack:
            writers = {
                source: stack.enter_context(
                    ShardWriter(self.folder, f"{source}s", self.settings.images_per_shard)
                )
                for source in Source
            }
            for scan in scan_all(members):
                self._add(scan, writers)
                self.report("images", len(self.hashes), total)
        for writer in writers.values():
            self.sha256 |= writer.sha256

    def _add(self, scan: MeasuredImage, writers: dict[Source, ShardWriter]) -> None:
        where = scan.member.where
        image = self._id(scan.member)
        source = self.sets.source(image) if image else None
        digest = bytes.fromhex(scan.sha256)
        if not image:
            return
        if image in self.hashes:
            if self.hashes[image] != digest:
                self.faults.add(where, f"another image is called {image} and differs")
            self.merged += self.hashes[image] == digest
            return
        if source is None:
            self.faults.add(where, "in no image set, and its name is neither P… nor N…")
            return
        if scan.error:
            self.faults.add(where, scan.error)
        self.hashes[image] = digest
        shard, offset, size = writers[source].add(image, scan.member.data)
        self.rows.add(
            {
                "image_id": image,
                "shard": shard,
                "offset": offset,
                "size": size,
                "width": scan.width,
                "height": scan.height,
                "sha256": scan.sha256,
                "phash": scan.phash,
                "source": source.value,
                "labels": self.sets.labels(image),
                "error": scan.error,
            }
        )

    def _find_absent(self) -> tuple[int, list[str]]:
        """Count listed images that did not come; each is a fault, unless the release's manifest
        announces as many positives that nobody has.

        Returns:
            How many, and those of them that are announced.
        """
        every = sorted(image for image in self.sets.bits if image not in self.hashes)
        positives = [image for image in every if self.sets.bits[image]]
        announced = positives if len(positives) <= self.expected.absent_positives else []
        absent = sorted(set(every).difference(announced))
        if absent and self.faults.on_error == "stop":
            first = ", ".join(absent[:3])
            self.faults.add(
                "image sets",
                f"{len(absent)} of {len(self.sets.bits)} listed images are not in the release: "
                f"{first}{' …' if len(absent) > 3 else ''}",
            )
        for image in absent:
            self.faults.add(image, "listed by the image sets, not in the release")
        return len(every), announced

    def _write_annotations(self, index: Index) -> dict[str, Any]:
        classes = ClassList(self.settings.classes, self.expected.left_out)
        rows: list[dict[str, Any]] = []
        notes: list[str] = []
        boxes: dict[str, int] = {}  # images with a usable XML
        for image, member in sorted(self.texts.items()):
            if image not in self.hashes:
                if image not in self.sets.bits:
                    self.faults.add(member.where, "an annotation without an image")
            elif read := annotation_rows(image, member, index, classes, self.faults):
                rows += read[0]
                notes += read[1]
                boxes[image] = len(read[0])
        write_table(self.folder / "annotations.parquet", rows, ANNOTATION_SCHEMA)
        if notes:
            write_bytes(self.folder / "notes.txt", ("\n".join(notes) + "\n").encode("utf-8"))
        positives = index.rows(source=Source.POSITIVE, readable=None)["image_id"].to_pylist()
        missing = [image for image in positives if image not in boxes]
        boxless = sum(boxes.get(image) == 0 for image in positives)
        surprising = set(boxes).difference(positives)
        return {
            "boxes": len(rows),
            "notes": len(notes),
            "unannotated": len(missing),
            "unannotated_ids": missing,
            "boxless": boxless,
            "negatives_with_boxes": sum(boxes[image] > 0 for image in surprising),
        }


def _texts(release: Release, faults: Faults) -> Iterator[Member]:
    for path in release.zips:
        yield from zip_members(path, faults, TEXTS)
    yield from loose_members(release.root, faults, TEXTS)


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


def _is_finished(workspace: Workspace, run: Run, force: bool) -> bool:
    folder = workspace.shards
    if not (folder / "run.json").exists():
        return False
    other = workspace.run("shards")
    if not other.same_work(run) and not force:
        raise WorkspaceError(
            f"{folder}: holds a finished ingest of {other.settings['release']} with other "
            "files or settings; pass --force to replace it, or name another workspace with -w"
        )
    return other.same_work(run)


def _begin(workspace: Workspace, run: Run, force: bool) -> bool:
    _is_finished(workspace, run, force)
    if not workspace.begin(run):
        return False
    for path in workspace.shards.iterdir():  # what a killed ingest left
        if path.name != "plan.json":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return True


def _result(summary: Any) -> DownloadResult:
    # Earlier versions counted less.
    known = {name: summary[name] for name in DownloadResult.__slots__ if name in summary}
    return DownloadResult(**known)
