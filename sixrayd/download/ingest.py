"""One pass over a release: shards, the index, the boxes, given splits."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.classes import ClassList, classes_advice
from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import make_folder
from sixrayd.core.findings import FINDING_SCHEMA, Finding, Flaw
from sixrayd.core.growth import Allowance, PixelAllowance
from sixrayd.core.progress import Report
from sixrayd.core.records import Source
from sixrayd.core.tables import write_table
from sixrayd.core.words import counted
from sixrayd.datasets.labels import Labels
from sixrayd.datasets.split_files import SplitFile
from sixrayd.download.boxes import write_boxes
from sixrayd.download.faults import Faults
from sixrayd.download.imagesets import ImageSets, image_id, is_image_set, is_voc_list
from sixrayd.download.joining import JoinedImages, JoinedIndex, write_index
from sixrayd.download.measuring import Measurer, Measuring
from sixrayd.download.members import (
    IMAGES,
    TEXTS,
    Member,
    allowed,
    loose_files,
    loose_members,
    suffix_of,
    tar_members,
    zip_members,
)
from sixrayd.download.place import ReleasePlace
from sixrayd.download.register import Register
from sixrayd.download.release import LooseDigest, Release
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.sharding import PARTS, Sharding, measured_path
from sixrayd.download.splits import GivenSplits
from sixrayd.download.tables import (
    Notes,
    finding_rows,
    shard_rows,
)
from sixrayd.imaging.decode import pixels_gone_over


@dataclass(slots=True)
class Ingest:
    """A pass, and what it gathers.

    Args:
        folder: `shards/` of the workspace.
        place: where the release is, and what its manifest says is amiss with it.
        elsewhere: measures shards in place of this machine.
    """

    folder: Path
    settings: DownloadSettings
    faults: Faults
    report: Report
    place: ReleasePlace
    elsewhere: Measurer | None = None
    sets: ImageSets = field(init=False)
    splits: GivenSplits = field(init=False)
    labels: Labels = field(default_factory=Labels)
    sha256: dict[str, str] = field(default_factory=dict)  # shard → hash
    notes: Notes = field(default_factory=Notes)
    loose: LooseDigest = field(default_factory=LooseDigest)
    allowance: Allowance = field(default_factory=Allowance)  # of all archives
    pixels: PixelAllowance = field(default_factory=PixelAllowance)  # of all images
    told: set[Finding] = field(default_factory=set)
    texts_first: bool = False  # whether the texts of tars were read before their images
    other_text: str = ""  # the first JSON or CSV that was passed over
    set_digests: set[bytes] = field(default_factory=set)  # of image sets
    merged: int = 0

    def __post_init__(self) -> None:
        classes = ClassList(self.settings.classes, self.place.expected.left_out)
        self.sets = ImageSets(classes, self.settings.chosen)
        self.splits = GivenSplits(self.faults)

    @property
    def parts(self) -> Path:
        """What is known of finished shards, until the ingest is finished."""
        return self.folder / PARTS

    @property
    def register(self) -> Register:
        """Images that are listed, and those that have come."""
        return self.sets.register

    def read_texts(self, release: Release) -> None:
        """Read what stands beside the images; nothing is written.

        Raises:
            ReleaseError: it holds no image, or the texts have a fault that stops.
        """
        if not release.archives and not any(loose_files(release.root, IMAGES)):
            raise self._nothing_found()
        self.allowance = allowed(release.archives)
        for text in self.settings.split:
            self.splits.add_file(SplitFile.of(text))
        for path in release.zips:
            for member in zip_members(path, self.faults, TEXTS, self.allowance):
                self._take_text(member)
        for member in loose_members(release.root, self.faults, TEXTS):
            self.loose.add(member)
            self._take_text(member)
        self._read_texts_of_tars(release)
        self._check_classes()
        self._note_labels()

    def take(self, release: Release) -> dict[str, Any]:
        """Write shards and tables, once the texts are read.

        Returns:
            The fields of `DownloadResult`, the ids of positives without annotation, and of
            announced ones that are absent.
        """
        absent, announced = self._write_shards(release)
        self._remove_others()
        given = self.labels.sides
        self._note_labels()
        for image, kept, others in self.register.namesakes():
            self.labels.tell_apart(image, kept, others)
        for name, sides in given.items():
            self.splits.add_sides(name, sides)
        self.sets.choose(lambda: self.labels.class_names)  # those among the images, too
        with JoinedImages.of(self.parts, sorted(self.sha256)) as images:
            self._join(images)
            for contradiction in self.sets.contradictions:
                self.notes.note(*contradiction)
            path = self.folder / "annotations.parquet"
            gathered = (self.labels, self.sets, self.faults, self.notes)
            boxes, counts = write_boxes(path, images.sizes, *gathered)
            drawn = (self.settings.seed, self.settings.test_share, self.settings.hash_distance)
            told = partial(self.report, "hashes compared")
            index = write_index(self.folder / "index.parquet", images, boxes, *drawn, told)
        splits = self.splits.write(self.folder, index.ids, index.groups)
        for image, where in self.splits.absent(index.ids).items():
            text = f"{image} is listed, not in the release"
            self.notes.note(image, Finding(Flaw.MISSING_IMAGE, where, text))
        counts |= _boxless(index, boxes)
        self._write_notes(index.ids)
        self.faults.write(self.folder / "skipped.jsonl")
        return {
            **index.counts(),
            **counts,
            "notes": len(self.notes),
            "contradictions": len(self.sets.contradictions),
            "merged": self.merged + self.labels.repeats,
            "absent": absent,
            **({"absent_as_announced": announced} if announced else {}),
            "skipped": len(self.faults.found),
            **({"loose": self.loose.hex()} if self.loose.files else {}),
            "passed_over": dict(sorted(self.faults.passed_over.items())),
            **({"splits": splits} if splits else {}),
        }

    def _read_texts_of_tars(self, release: Release) -> None:
        """Read the texts of tars before their images, where nothing else says what these show;
        what is wrong with the tars is told when the images are read.
        """
        if self.register.listed or self.labels.image_ids:
            return
        self.texts_first = True
        faults, allowance = Faults("skip"), allowed(release.archives)
        for number, (name, parts) in enumerate(release.tars.items(), 1):
            self.report("archives looked through for labels", number - 1, len(release.tars))
            for member in tar_members(parts, name, faults, TEXTS, allowance):
                self._take_text(member)
            self.report("archives looked through for labels", number, len(release.tars))

    def _take_text(self, member: Member) -> None:
        if is_image_set(member):
            digest = hashlib.sha256(member.data).digest()
            if self.register.come and digest in self.set_digests:
                return  # the same lies beside the archive
            if self.register.come:
                raise ReleaseError(
                    f"{member.where}: an image set among the images; unpack it beside the archive"
                )
            self.set_digests.add(digest)
            self.splits.add_list(member.where, self.sets.read(member, self.faults))
        elif is_voc_list(member):
            self.splits.add_voc_list(member)
        elif self.labels.wants(member.where, member.data):
            self.labels.take(member.where, member.data)
        else:
            self.faults.pass_over(member.suffix)
            if member.suffix in (".json", ".csv"):
                self.other_text = self.other_text or member.where

    def _check_classes(self) -> None:
        """Refuse a set whose own list of classes is another, before anything is decoded."""
        self.sets.choose(lambda: self.labels.class_names)
        if self.labels.form in ("coco", "yolo") and self.faults.on_error == "stop":
            names = self.labels.class_names
            known = self.sets.classes
            if not all(known.covers(name) or known.leaves_out(name) for name in names):
                raise ReleaseError(
                    f"classes are {','.join(names)} in the labels, {','.join(known.names)} here; "
                    f"{classes_advice(names)}"
                )

    def _note_labels(self) -> None:
        """Say what is newly found to be wrong with files of labels as a whole."""
        for finding in self.labels.findings:
            if finding in self.told:
                continue
            self.told.add(finding)
            if finding.flaw.stops:
                self.faults.add(finding.where, finding.text, finding.flaw)
            else:
                self.notes.note("", finding)

    def _write_shards(self, release: Release) -> tuple[int, list[str]]:
        """Write and measure shards; what was known before is kept.

        Returns:
            See `_find_absent`.
        """
        make_folder(self.parts)
        counted = _Counter(self.report, self.register)
        with Measuring(self.folder, self.parts, counted.measured, self.elsewhere) as measuring:

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
                self._fill(release, shardings, counted)
            for sharding in shardings.values():
                self.sha256 |= sharding.sha256
            if not self.sha256:
                self.faults.write(self.folder / "skipped.jsonl")
                raise self._nothing_found()
            found = self._find_absent()
            measuring.wait()
        return found

    def _nothing_found(self) -> ReleaseError:
        faults = self.faults.found
        text = "no image found; expected JPEGImage.tar.gz00 … or folders of images"
        if refused := [fault for fault in faults if suffix_of(fault[0]) in IMAGES]:
            text = f"{counted(len(refused), 'image')} found, none of which can be taken"
        for where, what in (refused or faults)[:1]:
            text += f"; the first fault passed over: {where}: {what}"
        return ReleaseError(f"{self.place.name}: {text}")

    def _fill(
        self, release: Release, shardings: dict[Source, Sharding], counted: "_Counter"
    ) -> None:
        shown: dict[str, bool] | None = None  # what labels said before the first image came
        for member in self._images(release):
            if shown is None:
                shown = {image: self.labels.shows(image) for image in self.labels.image_ids}
            self._add(member, shown, shardings)
            counted.read()

    def _images(self, release: Release) -> Iterator[Member]:
        """Images of the release; labels that come among them are put aside."""
        for name, parts in release.tars.items():
            wanted = IMAGES | TEXTS
            for member in tar_members(parts, name, self.faults, wanted, self.allowance):
                if member.suffix not in TEXTS:
                    yield member
                elif not self.texts_first:
                    self._take_text(member)
        for path in release.zips:
            yield from zip_members(path, self.faults, IMAGES, self.allowance)
        for member in loose_members(release.root, self.faults, IMAGES):
            self.loose.add(member)
            yield member

    def _add(
        self, member: Member, shown: Mapping[str, bool], shardings: dict[Source, Sharding]
    ) -> None:
        try:
            image = image_id(member.stem)
        except ReleaseError as error:
            self.faults.add(member.where, str(error), Flaw.BAD_NAME)
            return
        try:
            self.pixels.take(len(member.data), pixels_gone_over(member.data))
        except ValueError as error:
            self.faults.add(member.where, str(error), Flaw.NOT_READ)
            return
        source = self.sets.source(image)
        if shown.get(image):
            source = Source.POSITIVE
        elif source is None and (image in shown or self.labels.form == "yolo"):
            source = Source.NEGATIVE  # in YOLO's form what has no labels is background
        digest = hashlib.sha256(member.data).digest()
        if source is None:
            text = "in no image set, without annotation, and its name is neither P… nor N…"
            if self.other_text:
                text += f"; {self.other_text} has no labels in VOC's, COCO's or YOLO's form"
            flaw = Flaw.UNLISTED_IMAGE if self.register.listed else Flaw.UNSAID_IMAGE
            self.faults.add(member.where, text, flaw)
        elif (other := self.register.take(image, digest, member.where)) is None:
            shardings[source].add(image, member.data, digest.hex(), member.where)
        elif other != digest:
            text = f"another image is called {image} and differs"
            self.faults.add(member.where, text, Flaw.OTHER_IMAGE)
        else:
            self.merged += 1

    def _find_absent(self) -> tuple[int, list[str]]:
        """Count listed images that did not come; each is a fault, unless the release's manifest
        announces as many positives that nobody has.

        Returns:
            How many, and those of them that are announced.
        """
        every = list(self.register.absent())
        positives = [image for image in every if self.register.bits(image)]
        announced = positives if len(positives) <= self.place.expected.absent_positives else []
        absent = sorted(set(every).difference(announced))
        if absent and self.faults.on_error == "stop":
            first = ", ".join(absent[:3])
            self.faults.add(
                "image sets",
                f"{len(absent)} of {self.register.listed} listed images are not in the release: "
                f"{first}{' …' if len(absent) > 3 else ''}",
            )
        for image in absent:
            text = "listed by the image sets, not in the release"
            self.faults.add(image, text, Flaw.MISSING_IMAGE)
        return len(every), announced

    def _remove_others(self) -> None:
        """Remove shards that an ingest of something else left."""
        for path in self.folder.glob("*.tar"):
            if path.name not in self.sha256:
                path.unlink()

    def _join(self, images: JoinedImages) -> None:
        """Add what is known of shards; images that cannot be read are faults."""
        annotated = self.labels.image_ids
        for shard in sorted(self.sha256):
            rows = shard_rows(self.parts, shard)
            for row in rows.filter(pc.not_equal(rows["error"], "")).to_pylist():
                self.faults.add(row["where"], row["error"], Flaw.UNREADABLE_IMAGE)
            images.add(rows, self.sets, annotated)

    def _write_notes(self, ids: pa.Array) -> None:
        """Write what is wrong and was settled: as lines for people, and as a table."""
        self.notes.write_lines(self.folder / "notes.txt")
        findings = finding_rows(self.notes.table(), self.register, self.splits.voc_listed, ids)
        if findings.num_rows:
            write_table(self.folder / "findings.parquet", findings, FINDING_SCHEMA)


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


def _boxless(index: JoinedIndex, boxes: Mapping[str, int | None]) -> dict[str, Any]:
    positives = index.positives()
    missing = [image for image in positives if boxes.get(image) is None]
    return {
        "unannotated": len(missing),
        "unannotated_ids": missing,
        "boxless": sum(boxes.get(image) == 0 for image in positives),
    }
