"""The stage: plan, draw on all workers, write the release and its truth whole or not at all."""

import multiprocessing
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from sixrayd.core.boxes import Box
from sixrayd.core.children import end_with_parent
from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import make_folder, sync_folder
from sixrayd.core.progress import progress
from sixrayd.core.staging import sole_writer
from sixrayd.core.storage import refusals_told
from sixrayd.core.voc import PIXEL_EDGES, pixels_of
from sixrayd.synth.archive import (
    add_file,
    annotation_xml,
    csv_text,
    image_archive,
    write_checksums,
    write_zip,
)
from sixrayd.synth.drawing import DrawnImage, draw_image
from sixrayd.synth.plan import ImagePlan, plan_release
from sixrayd.synth.settings import SynthResult, SynthSettings

TEST_SHARE = 0.16  # SIXray10: 1,433 of 8,929 positives
IMAGE_SETS = (10, 100, 1000)  # negatives for every positive, at most
CHUNK = 8
_TRUTH = "truth.csv"
OWN_FILES = re.compile(r"JPEGImage\.tar\.gz\d+|Annotation\.zip|ImageSet\.zip|SHA256SUMS|truth\.csv")


@dataclass(frozen=True, slots=True)
class _Shown:
    """What remains of a picture once its bytes are in the archive."""

    plan: ImagePlan
    width: int
    height: int
    boxes: tuple[Box, ...]


def write_release(
    out: Path, settings: SynthSettings, *, force: bool = False, show_progress: bool = False
) -> SynthResult:
    """Write a release to `out` and its truth to the sibling `out`-truth.

    Raises:
        ReleaseError: `out` or its truth exists and `force` is not given, or `out` has no name; or
            files of others lie where one of them is to grow.
        WorkspaceError: another process writes there, or the storage refuses.
    """
    if out.name in ("", ".."):
        raise ReleaseError(f"{out}: has no name of its own; name a new folder")
    truth = out.with_name(f"{out.name}-truth")
    with sole_writer(out):
        # A run that was killed while both took their places left a truth of its own.
        killed = _beside(out).is_dir() and not out.exists()
        for folder in (out, truth):
            _check_free(folder, force or killed)
            for left in (_beside(folder), _replaced(folder)):
                if left.is_dir():  # what a killed run left is replaced
                    _check_free(left, force=True)
        is_synthetic = any((place / _TRUTH).exists() for place in (truth, _beside(truth)))
        if out.exists() and any(out.iterdir()) and not is_synthetic:  # SIXray's names are the same
            raise ReleaseError(
                f"{out}: has no {truth.name}/{_TRUTH} beside it, so it is no synthetic release; "
                "name another folder"
            )
        _clear_begun(out, truth)
        return _write_both(out, truth, settings, show_progress)


def _clear_begun(out: Path, truth: Path) -> None:
    """Remove what a killed run left of a release, always before what it left of the truth.

    Raises:
        ReleaseError: nothing of a truth is there, so that it is somebody's own, as a download of
            SIXray that goes on.
    """
    begun = [left for left in (_beside(out), _replaced(out)) if left.is_dir()]
    if any(place.is_dir() for place in (truth, _beside(truth), _replaced(truth))):
        for left in begun:
            _drop(left)
    for left in begun:
        if left.is_dir() and any(left.iterdir()):
            raise ReleaseError(
                f"{left}: has no {_beside(truth).name} beside it, so no synthetic release was "
                "begun there; name another folder"
            )


def _write_both(
    out: Path, truth: Path, settings: SynthSettings, show_progress: bool
) -> SynthResult:
    with refusals_told(out), _growing(truth) as truth_part, _growing(out) as out_part:
        shown, parts = _write_images(out_part, settings, show_progress)
        positives = [image for image in shown if image.plan.kind == "positive"]
        write_zip(out_part / "Annotation.zip", _annotations(positives))
        write_zip(out_part / "ImageSet.zip", _image_sets(shown, settings))
        write_checksums(out_part)
        (truth_part / _TRUTH).write_text(_truth(shown), "utf-8")
        for part in (out_part, truth_part):
            _sync_all(part)
        # The release goes first and comes last: it is never there beside another's truth.
        _remove(out)
        _remove(truth)
        _rename(truth_part, truth)
        _rename(out_part, out)
    return _result(out, truth, shown, parts)


def _check_free(folder: Path, force: bool) -> None:
    """Let `--force` replace what this stage wrote, and nothing else."""
    if not folder.exists():
        return
    if not force:
        raise ReleaseError(f"{folder}: exists already; pass --force to replace it")
    if folder.is_symlink():
        raise ReleaseError(f"{folder}: is a link, expected a release's folder; name another")
    if not folder.is_dir():
        raise ReleaseError(f"{folder}: is a file, expected a release's folder; name another")
    for path in sorted(folder.iterdir()):
        if not OWN_FILES.fullmatch(path.name):
            raise ReleaseError(
                f"{folder}: holds {path.name}, which no synthetic release has; name another folder"
            )


def _beside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.partial")


def _replaced(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.replaced")


@contextmanager
def _growing(folder: Path) -> Iterator[Path]:
    """A fresh folder beside `folder`; what it replaces is gone afterwards."""
    make_folder(folder.parent)
    beside = _beside(folder)
    _drop(beside)
    beside.mkdir()
    try:
        yield beside
    finally:
        for left in (beside, _replaced(folder)):
            _drop(left)


def _drop(folder: Path) -> None:
    """Remove what a run left, as far as it can be; nothing that is no folder, for which, if it is
    a pipe, `rmtree` would wait."""
    if folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)


def _sync_all(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as written:
            os.fsync(written.fileno())
    sync_folder(folder)


def _remove(folder: Path) -> None:
    """Have a folder gone whole or not at all."""
    if folder.exists():
        _drop(_replaced(folder))
        _rename(folder, _replaced(folder))


def _rename(source: Path, target: Path) -> None:
    source.rename(target)
    sync_folder(target.parent)


def _write_images(
    folder: Path, settings: SynthSettings, show_progress: bool
) -> tuple[list[_Shown], int]:
    """Draw everything into the archive; pictures' bytes are not kept."""
    plans = plan_release(settings)
    shown = []
    with image_archive(folder, settings.part_bytes) as (archive, pieces), progress() as bar:
        task = bar.add_task("drawing", total=len(plans), note="", visible=show_progress)
        for image in _drawn(plans, settings):
            add_file(archive, f"JPEGImage/{image.plan.name}.jpg", image.jpeg)
            shown.append(_Shown(image.plan, image.width, image.height, image.boxes))
            bar.advance(task)
    return shown, len(pieces.parts)


def _drawn(plans: tuple[ImagePlan, ...], settings: SynthSettings) -> Iterator[DrawnImage]:
    """Pictures in the order of the plans, whatever the number of workers."""
    draw = partial(draw_image, settings=settings)
    if settings.workers == 1:
        yield from map(draw, plans)
        return
    # A forked child would inherit the locks of OpenCV's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.workers, context, initializer=end_with_parent) as pool:
        try:
            yield from pool.map(draw, plans, chunksize=CHUNK)
        finally:
            pool.shutdown(cancel_futures=True)


def _annotations(positives: list[_Shown]) -> Iterator[tuple[str, str]]:
    for image in positives:
        name = image.plan.name
        xml = annotation_xml(name, image.width, image.height, image.boxes)
        yield f"Annotation/{name}.xml", xml


def _image_sets(shown: list[_Shown], settings: SynthSettings) -> Iterator[tuple[str, str]]:
    """Train and test lists with one negative share each; a picture keeps its side in all."""
    rng = np.random.default_rng(np.random.SeedSequence((settings.seed, 3)))
    positives = [image for image in shown if image.plan.kind == "positive"]
    negatives = [image for image in shown if image.plan.kind != "positive"]
    held_out = rng.random(len(shown)) < TEST_SHARE
    testing = {image.plan.name for image, held in zip(shown, held_out, strict=True) if held}
    header = ("name", *settings.classes)
    for share in IMAGE_SETS:
        kept = positives + negatives[: share * max(1, len(positives))]
        for side, wanted in (("train", False), ("test", True)):
            rows = [
                _labels(image, settings.classes)
                for image in kept
                if (image.plan.name in testing) is wanted
            ]
            yield f"ImageSet/{share}/{side}.csv", csv_text([header, *rows])


def _labels(image: _Shown, classes: tuple[str, ...]) -> tuple[str | int, ...]:
    """A row of an image set: 1 where the release admits the class, else -1."""
    present = {box.label for box in image.boxes} if image.plan.kind == "positive" else set()
    return image.plan.name, *(1 if name in present else -1 for name in classes)


def _truth(shown: list[_Shown]) -> str:
    rows = [
        (
            *(image.plan.name, int(image.plan.kind == "hidden"), box.label),
            *pixels_of(box, image.width, image.height).values(),
        )
        for image in shown
        for box in image.boxes
    ]
    return csv_text([("name", "hidden", "label", *PIXEL_EDGES), *rows])


def _result(out: Path, truth: Path, shown: list[_Shown], parts: int) -> SynthResult:
    kinds = [image.plan.kind for image in shown]
    positives, hidden = kinds.count("positive"), kinds.count("hidden")
    return SynthResult(
        out=out,
        truth=truth / _TRUTH,
        images=len(shown),
        positives=positives,
        negatives=len(shown) - positives,
        hidden=hidden,
        duplicates=sum(image.plan.repeated for image in shown),
        boxes=sum(len(image.boxes) for image in shown),
        hidden_boxes=sum(len(i.boxes) for i in shown if i.plan.kind == "hidden"),
        parts=parts,
    )
