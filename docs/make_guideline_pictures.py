"""Draw annotation/images: each class from every side, what fools, tight boxes, the four looks.

Every picture is synthetic and depends on the seeds below alone. Run from the repository's root:
python docs/make_guideline_pictures.py
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sixrayd.core.arrays import RGBImage
from sixrayd.core.boxes import Box
from sixrayd.synth import blades, clutter, gadgets, guns, tools
from sixrayd.synth.drawing import draw_image
from sixrayd.synth.outlines import Points
from sixrayd.synth.plan import ImagePlan
from sixrayd.synth.projection import DepthMap, Pose
from sixrayd.synth.scanner import Scanner, scan
from sixrayd.synth.scene import VISIBLE_DEPTH
from sixrayd.synth.settings import SynthSettings
from sixrayd.synth.solids import Thing, lines_of

FOLDER = Path(__file__).parent.parent / "annotation" / "images"
SEED = 7
PANEL_WH = (216, 172)
MARGIN, CAPTION_PX = 6, 18
INK, RIGHT, WRONG = (30, 30, 30), (220, 0, 120), (230, 120, 0)
MACHINE = Scanner("vivid", (255, 255, 255), photons=5000, blur_px=0.5, sharpen=1.3)

Rng = np.random.Generator
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Thing:
    """An item to draw; the seed decides which of its kind."""

    caption: str
    build: Callable[[Rng], Thing]
    seed: int


@dataclass(frozen=True, slots=True)
class View:
    """How an item lies.

    Args:
        tilt_deg: about its own length, so that 79 shows it edge-on; about its breadth if `end_on`.
        aside: how far its middle lies from the panel's, as a share of the panel.
        covered: whether a circuit board, a bottle and a cable lie on it.
    """

    caption: str
    turn_deg: float = 18.0
    tilt_deg: float = 0.0
    end_on: bool = False
    aside: tuple[float, float] = (0.0, 0.0)
    covered: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A captioned picture with boxes, each in its colour."""

    caption: str
    picture: RGBImage
    boxes: tuple[tuple[Box, Colour], ...] = ()


FLAT = View("flat")
VIEWS = (
    FLAT,
    View("tilted", turn_deg=-25, tilt_deg=58),
    View("edge-on", turn_deg=15, tilt_deg=79),
    View("foreshortened", turn_deg=0, tilt_deg=72, end_on=True),
    View("cut off by the border", aside=(0.42, 0.15)),
    View("under clutter", turn_deg=-20, covered=True),
)
KINDS = {
    "Gun": (
        Thing("pistol", guns.pistol, 1),
        Thing("pistol of steel", guns.pistol, 5),
        Thing("pistol, small", guns.pistol, 8),
        Thing("revolver", guns.revolver, 2),
        Thing("revolver", guns.revolver, 11),
    ),
    "Knife": (
        Thing("kitchen knife", blades.knife, 2),
        Thing("kitchen knife", blades.knife, 17),
        Thing("cleaver", blades.knife, 19),
        Thing("dagger", blades.knife, 3),
        Thing("folding knife", blades.knife, 6),
    ),
    "Wrench": (
        Thing("combination", tools.wrench, 3),
        Thing("double open", tools.wrench, 0),
        Thing("ring", tools.wrench, 2),
        Thing("adjustable", tools.wrench, 1),
        Thing("adjustable", tools.wrench, 13),
    ),
    "Pliers": (
        Thing("combination", tools.pliers, 16),
        Thing("combination, open", tools.pliers, 9),
        Thing("long nose", tools.pliers, 5),
        Thing("long nose, shut", tools.pliers, 13),
        Thing("cutters", tools.pliers, 2),
    ),
    "Scissors": (
        Thing("plastic loops", blades.scissors, 0),
        Thing("plastic loops, shut", blades.scissors, 15),
        Thing("all metal", blades.scissors, 3),
        Thing("all metal, shut", blades.scissors, 13),
        Thing("short", blades.scissors, 11),
    ),
}
FOOLS = {
    "Gun": (
        Thing("hair dryer", gadgets.dryer, 1),
        Thing("camera", gadgets.camera, 2),
        Thing("charger", gadgets.charger, 3),
        Thing("umbrella", clutter.umbrella, 4),
        Thing("shoe with a shank", clutter.shoe, 1),
    ),
    "Knife": (
        Thing("screwdriver", gadgets.screwdriver, 3),
        Thing("pens", gadgets.pens, 1),
        Thing("fork", gadgets.cutlery, 2),
        Thing("tent poles, drill bits", gadgets.rods, 2),
        Thing("umbrella", clutter.umbrella, 5),
    ),
    "Wrench": (
        Thing("hexagon keys", gadgets.hex_keys, 2),
        Thing("spoon", gadgets.cutlery, 6),
        Thing("keys", gadgets.keys, 3),
        Thing("screwdriver", gadgets.screwdriver, 4),
        Thing("belt with a buckle", clutter.belt, 5),
    ),
    "Pliers": (
        Thing("glasses", gadgets.glasses, 2),
        Thing("scissors: another class", blades.scissors, 4),
        Thing("clothes hanger", clutter.hanger, 3),
        Thing("hexagon keys", gadgets.hex_keys, 4),
        Thing("cable", gadgets.cable, 5),
    ),
    "Scissors": (
        Thing("keys", gadgets.keys, 5),
        Thing("glasses", gadgets.glasses, 1),
        Thing("pliers: another class", tools.pliers, 5),
        Thing("cable", gadgets.cable, 4),
        Thing("fork", gadgets.cutlery, 44),
    ),
}


def main() -> None:
    """Draw every picture and say how large it is."""
    cv2.setNumThreads(1)
    FOLDER.mkdir(exist_ok=True)
    for label in KINDS:
        first, *others = KINDS[label]
        *sides, covered = [_panel(first, view, view.caption) for view in VIEWS]
        kinds = [covered, *(_panel(kind, FLAT, kind.caption) for kind in others)]
        fools = [replace(_panel(fool, FLAT, fool.caption), boxes=()) for fool in FOOLS[label]]
        _save([sides, kinds, fools], label.lower())
    _save([_boxes()], "boxes")
    _save([_looks()], "looks")


def _boxes() -> list[Panel]:
    """One object boxed rightly, loosely and too tightly; two that overlap."""
    exact = _panel(KINDS["Scissors"][0], FLAT, "right: touches the outermost pixels")
    box = exact.boxes[0][0]
    pair = _panel(KINDS["Wrench"][0], FLAT, "two objects, two boxes", KINDS["Knife"][0])

    def wrong(caption: str, by: float) -> Panel:
        edges = (box.x1 - by, box.y1 - by, box.x2 + by, box.y2 + by)
        return Panel(caption, exact.picture, ((Box("", *edges), WRONG),))

    return [exact, wrong("wrong: loose", 9), wrong("wrong: cuts parts off", -14), pair]


def _looks() -> list[Panel]:
    """A bag in the four looks of annotation/labelling.xml, by the formulas of its filters."""
    bag = draw_image(ImagePlan("", "positive", 104, 104, "positive"), SynthSettings(seed=2022))
    pixels = np.array(Image.open(io.BytesIO(bag.jpeg)))
    shown = cv2.resize(pixels, PANEL_WH, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    grey = shown @ np.array([[0.2126], [0.7152], [0.0722]], np.float32)  # (H, W, 1)
    looks = {
        "as it is": shown,
        "negative": 2 * (1 - grey) - (1 - shown),  # inverted, its hues turned by half a circle
        "grey": np.repeat(grey, 3, axis=2),
        "dark parts opened": shown**0.45,
        "pale parts deepened": shown**3,
    }
    return [
        Panel(caption, (np.clip(look, 0, 1) * 255).round().astype(np.uint8))
        for caption, look in looks.items()
    ]


def _panel(thing: Thing, view: View, caption: str, across: Thing | None = None) -> Panel:
    """A thing on cloth, with another lying across it where one is given."""
    width, height = PANEL_WH
    rng = np.random.default_rng((SEED, thing.seed, 1))
    belt = DepthMap(width, height)
    cloth = clutter.clothes(rng)
    plain = replace(cloth, parts=cloth.parts[:2])  # without its buttons
    belt.add(plain, Pose((width / 2, height / 2), 9.0, rng.uniform(0, 180)))
    scale, box = _add(belt, thing, view)
    boxes = [box]
    if across:
        boxes.append(_add(belt, across, replace(view, turn_deg=view.turn_deg - 60))[1])
    if view.covered:
        for build, turn_deg in ((gadgets.circuit, 30), (clutter.bottle, 80), (gadgets.cable, 0)):
            at = (width * rng.uniform(0.35, 0.65), height * rng.uniform(0.4, 0.6))
            belt.add(build(rng), Pose(at, scale, turn_deg))
    picture = scan(belt.depth, MACHINE, rng)
    return Panel(caption, picture, tuple((box, RIGHT) for box in boxes))


def _add(belt: DepthMap, thing: Thing, view: View) -> tuple[float, Box]:
    """Put a thing on the belt, as large as fits when flat; pixels per cm, and its box."""
    item = thing.build(np.random.default_rng((SEED, thing.seed)))
    axis_deg = view.turn_deg + 90 * view.end_on
    pose = Pose((0.0, 0.0), 1.0, view.turn_deg, view.tilt_deg, axis_deg)
    _, lying = _bounds(item, replace(pose, tilt_deg=0))
    middle, _ = _bounds(item, pose)
    size = np.array(PANEL_WH)
    scale = float(0.84 * (size / lying).min())
    x, y = size * (0.5 + np.array(view.aside)) - scale * middle
    alone = DepthMap(*PANEL_WH)
    alone.add(item, replace(pose, at=(float(x), float(y)), scale=scale))
    belt.depth += alone.depth
    shadow = alone.depth[0] > VISIBLE_DEPTH
    xs, ys = np.flatnonzero(shadow.any(axis=0)), np.flatnonzero(shadow.any(axis=1))
    return scale, Box(thing.caption, int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)


def _bounds(item: Thing, pose: Pose) -> tuple[Points, Points]:
    """Middle and size of what an item covers, each (2,) pixels."""
    lines = tuple(line for part in item.parts for line in lines_of(part))
    corners = np.concatenate(pose.pixels(lines))  # (N, 2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    return (low + high) / 2, high - low


def _save(rows: Sequence[Sequence[Panel]], name: str) -> None:
    """Panels in rows, each under its caption."""
    step = (PANEL_WH[0] + MARGIN, PANEL_WH[1] + MARGIN + CAPTION_PX)
    across = max(len(row) for row in rows)
    sheet = Image.new("RGB", (across * step[0] + MARGIN, len(rows) * step[1] + MARGIN), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for r, row in enumerate(rows):
        for c, panel in enumerate(row):
            x, y = MARGIN + c * step[0], MARGIN + r * step[1]
            pen.text((x, y), panel.caption, fill=INK, font=font)
            sheet.paste(_drawn(panel), (x, y + CAPTION_PX))
    path = FOLDER / f"{name}.jpg"
    sheet.save(path, quality=80)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def _drawn(panel: Panel) -> Image.Image:
    drawn = Image.fromarray(panel.picture)
    pen = ImageDraw.Draw(drawn)
    for box, colour in panel.boxes:
        pen.rectangle([box.x1 - 1, box.y1 - 1, box.x2, box.y2], outline=colour, width=2)
    return drawn


if __name__ == "__main__":
    main()
