"""What lies beyond the image, on real scans: zeros keep the paper's network from cropping."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sixrayd.crop.region import area_removed, size_wh
from sixrayd.crop.tdc_forms import TdcCropper
from sixrayd.detectors.rfb import rfb512
from sixrayd.imaging.decode import decode_rgb
from sixrayd.mine.settings import TDC

SCANS = Path(os.environ.get("SIXRAYD_DATA", "../shared/data")) / "sixray-samples" / "original"


@pytest.mark.skipif(not SCANS.is_dir(), reason="needs the sample scans")
def test_the_default_crops_real_scans_and_zeros_do_not():
    torch.manual_seed(0)
    detector = rfb512(5)
    detector.initialise()
    paths = sorted(SCANS.glob("*.jpg"))[:5]
    assert len(paths) == 5
    images = [decode_rgb(path.read_bytes(), path.name) for path in paths]

    removed = {}
    for border in ("edge", "zeros"):
        regions = TdcCropper(detector, replace(TDC, border=border)).regions(images)
        pairs = zip(regions, images, strict=True)
        removed[border] = [area_removed(region, size_wh(image)) for region, image in pairs]

    assert TDC.border == "edge"
    assert sum(share > 0.02 for share in removed["edge"]) >= 3
    assert sum(share > 0.02 for share in removed["zeros"]) == 0
