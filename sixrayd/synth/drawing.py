"""One picture of a release, from its plan to its JPEG and boxes."""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as PillowImage

from sixrayd.core.arrays import RGBImage
from sixrayd.core.boxes import Box
from sixrayd.synth.overlay import burn_in
from sixrayd.synth.plan import ImagePlan
from sixrayd.synth.scanner import choose_scanner, scan
from sixrayd.synth.scene import build_scene, rescan, widen
from sixrayd.synth.settings import SynthSettings


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """A finished picture with its truth."""

    plan: ImagePlan
    jpeg: bytes
    width: int
    height: int
    boxes: tuple[Box, ...]


def draw_image(plan: ImagePlan, settings: SynthSettings) -> DrawnImage:
    """Draw one picture; it depends on the plan and the seed alone."""
    # OpenCV's own threads would fight with the other workers.
    cv2.setNumThreads(1)
    bags = np.random.default_rng(np.random.SeedSequence((settings.seed, 1, plan.scene)))
    own = np.random.default_rng(np.random.SeedSequence((settings.seed, 2, plan.number)))
    scanner = choose_scanner(bags)
    scene = build_scene(plan.scene_kind, settings.classes, bags)
    if settings.margins:
        scene = widen(scene, settings.margins, bags)
    quality = settings.jpeg_quality
    if plan.repeated:
        scene = rescan(scene, own)
        quality = int(np.clip(quality + own.integers(-12, 9), 1, 95))
    picture = burn_in(scan(scene.depth, scanner, own), own)
    height, width = picture.shape[:2]
    return DrawnImage(plan, encode_jpeg(picture, quality), width, height, scene.boxes())


def encode_jpeg(picture: RGBImage, quality: int) -> bytes:
    """Baseline JPEG with colour at half resolution, as the real release is stored."""
    buffer = io.BytesIO()
    PillowImage.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()
