"""What an audit says of releases of which each has one thing wrong with it."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.stage import audit
from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError, ShardError, WorkspaceError
from sixrayd.core.workspace import Workspace
from tests.releases import TinyRelease, jpeg, take, voc

COLUMNS = ("flaw", "severity", "image_id", "other_id", "box_id", "where", "text")
CSV = "ImageSet.zip/ImageSet/10/train.csv"
XML = "Annotation.zip/Annotation/P00001.xml"
GUN, KNIFE = ("Gun", 1, 1, 20, 30), ("knife", 31, 11, 60, 50)
SHORT = AuditSettings(least=4)


def encoded(form="JPEG", mode="RGB", size_wh=(96, 64), **more):
    """An image that is no other's duplicate."""
    rng = np.random.default_rng(9)
    pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize(size_wh, Image.Resampling.NEAREST).convert(mode)
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(exif=exif)


def deep():
    file = io.BytesIO()
    Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96) * 9).save(file, "PNG")
    return file.getvalue()


def image(stem, data):
    return lambda tiny: tiny.images.update({stem: data})


def xml(*objects, stem="P00001", **more):
    return lambda tiny: tiny.xml.update({stem: voc(stem, *objects, **more)})


def row(*lines):
    return lambda tiny: tiny.rows.extend(lines)


def without(kind, key):
    return lambda tiny: getattr(tiny, kind).pop(key)


def replaced(old, new):
    def change(tiny):
        tiny.xml["P00001"] = tiny.xml["P00001"].replace(old, new)

    return change


def same_as(stem, other, **more):
    """Another image with the bytes of one, or encoded again."""

    def change(tiny):
        data = tiny.images[other]
        if more:
            file = io.BytesIO()
            Image.open(io.BytesIO(data)).save(file, "JPEG", **more)
            data = file.getvalue()
        tiny.images[stem] = data

    return change


CASES = {
    "missing image": (row("P00009,1,-1"), "image that is listed and missing", "fault", "P00009", "", "", "P00009", "listed by the image sets, not in the release"),
    "unlisted image": (image("N0000009", jpeg(70)), "image that no image set lists", "remark", "N0000009", "", "", "image sets", "listed by none"),
    "neither P nor N": (image("bag", jpeg(70)), "image that no image set lists", "remark", "bag", "", "", "JPEGImage.tar.gz00/JPEGImage/bag.jpg", "in no image set, and its name is neither P… nor N…"),
    "unreadable image": (image("N0000001", b"no image"), "image that cannot be read", "fault", "N0000001", "", "", "", "begins with b'no image', expected JPEG, PNG, BMP or WebP"),
    "grey image": (image("N0000001", encoded(mode="L")), "image without colour", "remark", "N0000001", "", "", "", "is grey"),
    "CMYK": (image("N0000001", encoded(mode="CMYK")), "image of an odd mode", "fault", "N0000001", "", "", "", "is CMYK; pixels are made RGB of 8 bits"),
    "palette": (image("N0000001", encoded("PNG", "P")), "image of an odd mode", "fault", "N0000001", "", "", "", "has a palette; pixels are made RGB of 8 bits"),
    "alpha": (image("N0000001", encoded("PNG", "RGBA")), "image of an odd mode", "fault", "N0000001", "", "", "", "has an alpha channel; pixels are made RGB of 8 bits"),
    "16 bits": (image("N0000001", deep()), "image of an odd mode", "fault", "N0000001", "", "", "", "has more than 8 bits a sample; pixels are made RGB of 8 bits"),
    "odd size": (image("N0000001", encoded(size_wh=(300, 64))), "image of an odd size", "remark", "N0000001", "", "", "", "300 x 64"),
    "EXIF": (image("N0000001", turned()), "image that EXIF rotates", "fault", "N0000001", "", "", "", "EXIF orientation 6; viewers turn it, its boxes do not turn with it"),
    "no annotation": (without("xml", "P00001"), "positive without an annotation", "fault", "P00001", "", "", "", "no annotation that can be used"),
    "empty annotation": (xml(), "annotation without a usable object", "remark", "P00001", "", "", "", "a positive whose annotation holds no usable box"),
    "boxed negative": (xml(GUN, stem="N0000001"), "negative with boxes", "fault", "N0000001", "", "", "", "the release calls it negative"),
    "stray annotation": (xml(GUN, stem="P00777"), "annotation without an image", "fault", "P00777", "", "", XML.replace("00001", "00777"), "an annotation without an image"),
    "broken annotation": (lambda tiny: tiny.xml.update(P00001=b"<annotation>"), "annotation that cannot be read", "fault", "P00001", "", "", XML, None),
    "out of bounds": (xml(GUN, ("Knife", 31, 11, 97, 50)), "box past the image's edge", "remark", "P00001", "", "", f"{XML}: object 2", "xmax 97 exceeds width 96; clipped"),
    "unknown class": (xml(GUN, KNIFE, ("Bomb", 1, 1, 9, 9)), "class that is not known", "fault", "P00001", "", "", f"{XML}: object 3", None),
    "repeated box": (xml(GUN, KNIFE, GUN), "box that repeats another", "fault", "P00001", "", "P00001/a2", "", "the same box of the same class stands before"),
    "thin box": (xml(GUN, KNIFE, ("Gun", 97, 1, 99, 9)), "box outside the image", "fault", "P00001", "", "", f"{XML}: object 3", None),
    "narrow box": (xml(GUN, KNIFE, ("Gun", 3, 5, 4, 60)), "box of few pixels", "remark", "P00001", "", "P00001/a2", "", "2 x 56 pixels"),
    "other name": (replaced(b"P00001.jpg", b"P00002.jpg"), "annotation that names another image", "remark", "P00001", "", "", XML, "<filename> says 'P00002.jpg'; taken for P00001"),
    "labels disagree": (xml(KNIFE), "image set and boxes that disagree", "fault", "P00001", "", "", "", "the image sets say Gun, Knife, boxes are Knife"),
    "sets disagree": (row("P00003,1,1"), "image sets that disagree", "fault", "P00003", "", "", f"{CSV}: line 10", "Gun, Knife; another line says Gun"),
    "same bytes": (same_as("N0000002", "N0000001"), "image that repeats another", "remark", "N0000002", "N0000001", "", "", "the same bytes"),
    "resembling": (same_as("N0000002", "N0000001", quality=80), "image that resembles another", "remark", "N0000002", "N0000001", "", "", "0 of 64 bits of their hashes differ"),
    "negative is positive": (same_as("N0000002", "P00001"), "negative with a positive's bytes", "fault", "N0000002", "P00001", "", "", "the same bytes"),
    "negative like positive": (same_as("N0000002", "P00001", quality=80), "negative that resembles a positive", "remark", "N0000002", "P00001", "", "", "0 of 64 bits of their hashes differ"),
}  # fmt: skip


def tidy(tiny):
    """The third positive is listed as a gun alone."""
    tiny.xml["P00003"] = voc("P00003", GUN)
    return tiny


def kinds(result):
    """Findings as rows of `COLUMNS`."""
    return [tuple(found[key] for key in COLUMNS) for kind in result.kinds for found in kind.examples]


def audited(tmp_path, tiny, settings=SHORT):
    take(tmp_path, tiny.write(tmp_path / "release"), "skip")
    return audit(Workspace(tmp_path / "ws"), settings)


def test_nothing_is_wrong_with_a_tidy_release(tmp_path):
    result = audited(tmp_path, tidy(TinyRelease()))

    assert (result.kinds, result.faults, result.remarks) == ((), 0, 0)
    assert (result.images, result.boxes, result.written) == (8, 5, True)
    assert result.rules == ("images: 61 to 150 pixels wide", "images: 41 to 100 pixels high")


@pytest.mark.parametrize("case", CASES)
def test_each_flaw_is_found_and_named(tmp_path, case):
    change, *wanted = CASES[case]
    tiny = tidy(TinyRelease())
    change(tiny)

    result = audited(tmp_path, tiny)

    of_kind = [found for found in kinds(result) if found[0] == wanted[0]]
    assert len(of_kind) == 1, kinds(result)
    assert of_kind[0][:6] == tuple(wanted[:6])
    assert wanted[6] in (of_kind[0][6], None)
    assert result.faults == sum(found[1] == "fault" for found in kinds(result))
    if wanted[1] == "remark":
        assert result.faults == 0, kinds(result)
