"""The colours of the scanners: by the ratio of the bands, and by how much the beam lost."""

from functools import cache

import numpy as np

from sixrayd.core.arrays import FloatArray, RGBImage

Colour = tuple[int, int, int]

DEEPEST = 8.0  # optical depth at which every palette ends
# Low-band depth over high-band depth: polymer 1.2, aluminium 2.1, steel 4.9.
RATIO_RANGE = (1.0, 4.6)
TABLE = (64, 256)  # ratios, depths

# Colour against optical depth, for organic, inorganic and metallic ratios.
Ramp = tuple[tuple[float, Colour], ...]
VIVID: tuple[Ramp, Ramp, Ramp] = (
    ((0, (255, 255, 255)), (0.04, (255, 249, 240)), (0.15, (252, 228, 200)),
     (0.45, (248, 194, 130)), (1, (240, 146, 52)), (2, (196, 104, 22)), (4, (90, 62, 16)),
     (6.5, (20, 20, 14))),
    ((0, (255, 255, 255)), (0.04, (246, 252, 241)), (0.15, (216, 233, 197)),
     (0.45, (156, 204, 124)), (1, (92, 168, 62)), (1.8, (40, 122, 44)), (3.2, (14, 74, 34)),
     (6, (8, 22, 18))),
    ((0, (255, 255, 255)), (0.04, (240, 248, 253)), (0.15, (180, 214, 234)),
     (0.45, (74, 152, 200)), (1, (28, 112, 178)), (1.8, (14, 84, 142)), (3, (9, 50, 94)),
     (4.6, (7, 20, 44)), (6, (6, 8, 16))),
)  # fmt: skip
MUTED: tuple[Ramp, Ramp, Ramp] = (
    ((0, (255, 255, 255)), (0.05, (254, 240, 228)), (0.2, (242, 206, 172)),
     (0.5, (214, 164, 112)), (1, (190, 128, 56)), (2, (150, 96, 22)), (4, (80, 70, 8)),
     (6, (0, 14, 150))),
    ((0, (255, 255, 255)), (0.05, (240, 250, 234)), (0.2, (196, 222, 176)),
     (0.5, (136, 178, 104)), (1, (84, 146, 72)), (1.8, (28, 108, 54)), (3.2, (4, 66, 34)),
     (5, (0, 26, 80)), (6.2, (0, 4, 205))),
    ((0, (255, 255, 255)), (0.05, (232, 246, 250)), (0.2, (150, 200, 214)),
     (0.5, (52, 146, 178)), (1, (16, 108, 152)), (1.8, (6, 72, 122)), (2.8, (2, 42, 92)),
     (3.8, (0, 28, 70)), (4.8, (0, 22, 84)), (5.6, (0, 8, 180)), (6.6, (0, 0, 232))),
)  # fmt: skip
PALETTES = {"vivid": VIVID, "muted": MUTED}
# Ratios up to which matter is organic, between which inorganic, and from which metal.
CLASS_RATIOS = {"vivid": (1.42, 1.72, 2.7, 3.7), "muted": (1.40, 1.90, 2.6, 3.9)}


@cache
def colour_table(palette: str, background: Colour) -> RGBImage:
    """(ratios x depths, 3) uint8: colour at each ratio of the bands and each optical depth."""
    depths = DEEPEST * np.linspace(0, 1, TABLE[1]) ** 2
    ramps = np.stack([_ramp(ramp, depths) for ramp in PALETTES[palette]])  # (3, depths, 3)
    ratios = np.linspace(*RATIO_RANGE, TABLE[0])
    # 0 is organic, 1 inorganic, 2 metal.
    share = np.interp(ratios, CLASS_RATIOS[palette], [0.0, 1.0, 1.0, 2.0])
    weights = np.clip(1 - np.abs(share[:, None] - np.arange(3)), 0, 1)  # (ratios, 3)
    table = np.einsum("rk,kdc->rdc", weights, ramps)
    empty = np.exp(-depths / 0.6)[None, :, None]
    table *= empty * (np.array(background) / 255) + (1 - empty)
    rounded: RGBImage = np.rint(table).clip(0, 255).astype(np.uint8).reshape(-1, 3)
    return rounded


def _ramp(ramp: Ramp, depths: FloatArray) -> FloatArray:
    stops = [stop for stop, _ in ramp]
    channels = [np.interp(depths, stops, [c[k] for _, c in ramp]) for k in range(3)]
    return np.stack(channels, axis=1)  # (depths, 3)
