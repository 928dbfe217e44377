"""What an audit says of releases with everything wrong with them, each finding whole."""

import io

import numpy as np
import pytest
from PIL import Image

from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.stage import audit
from sixrayd.core.findings import Flaw
from sixrayd.core.workspace import Workspace
from tests.releases import TinyRelease, encode, jpeg, take, voc

GUN, KNIFE = ("Gun", 1, 1, 20, 30), ("knife", 31, 11, 60, 50)
SHORT = AuditSettings(least=4)
XML = "Annotation.zip/Annotation/"
RGB8 = "; pixels are made RGB of 8 bits"


def picture(seed, mode="RGB", size_wh=(96, 64)):
    """An image that is no other's duplicate."""
    pixels = np.random.default_rng(50 + seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size_wh, Image.Resampling.NEAREST).convert(mode)


def turned(seed):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture(seed).save(file, "JPEG", exif=exif)
    return file.getvalue()


def deep():
    return encode(Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96) * 9), "PNG")


def again(data, quality=80):
    """The same picture, encoded again."""
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def tidy():
    """A release with which nothing is wrong: its third positive is a gun alone, as it says."""
    tiny = TinyRelease()
    tiny.xml["P00003"] = voc("P00003", GUN)
    return tiny


def odd_images():
    tiny = tidy()
    tiny.rows += ["P00009,1,-1", "N0000006,-1,-1", "N0000007,-1,-1"]
    tiny.images |= {
        "N0000001": b"no image",
        "N0000002": encode(picture(1, "L"), "JPEG"),
        "N0000003": encode(picture(2, "CMYK"), "JPEG"),
        "N0000004": encode(picture(3, "P"), "PNG"),
        "N0000005": encode(picture(4, "RGBA"), "PNG"),
        "N0000006": deep(),
        "N0000007": encode(picture(5, size_wh=(300, 64)), "JPEG"),
        "N0000008": turned(6),
        "bag": jpeg(71),
    }
    stray = "in no image set, and its name is neither P… nor N…"
    return tiny, [
        (Flaw.MISSING_IMAGE, "P00009", "listed by the image sets, not in the release", "P00009"),
        (Flaw.UNREADABLE_IMAGE, "N0000001", "begins with b'no image', expected…"),
        (Flaw.ODD_MODE, "N0000003", "is CMYK" + RGB8),
        (Flaw.ODD_MODE, "N0000004", "has a palette" + RGB8),
        (Flaw.ODD_MODE, "N0000005", "has an alpha channel" + RGB8),
        (Flaw.ODD_MODE, "N0000006", "has more than 8 bits a sample" + RGB8),
        (Flaw.ROTATED, "N0000008", "EXIF orientation 6; its boxes do not turn with it"),
        (Flaw.UNLISTED_IMAGE, "N0000008", "listed by none", "image sets"),
        (Flaw.UNLISTED_IMAGE, "bag", stray, "JPEGImage.tar.gz/JPEGImage/bag.jpg"),
        (Flaw.GREY, "N0000002", "is grey"),
        (Flaw.ODD_SIZE, "N0000007", "300 x 64"),
    ]


def odd_labels():
    tiny = tidy()
    for number in range(4, 10):
        tiny.images[f"P0000{number}"] = jpeg(number)
        tiny.rows.append(f"P0000{number},1,-1")
    tiny.rows.append("P00003,1,1")
    del tiny.xml["P00003"]
    tiny.xml |= {
        "P00001": voc("P00001", GUN, ("knife", 31, 11, 97, 50), GUN),
        "P00002": voc("P00002", KNIFE),
        "P00004": voc("P00004"),
        "P00005": b"<annotation>",
        "P00006": voc("P00007", GUN, ("Bomb", 1, 1, 9, 9)),
        "P00007": voc("P00007", GUN, ("Hammer", 1, 1, 9, 9), ("Gun", 98, 1, 99, 9)),
        "P00008": voc("P00008", GUN, ("Gun", 9, 9, 10, 60)),
        "P00009": voc("P00009", ("Gun", 20, 1, 1, 30)).replace(b"</ann", b"<object/></ann"),
        "N0000001": voc("N0000001", GUN),
        "P00777": voc("P00777", GUN),
    }
    at = {number: f"{XML}P0000{number}.xml" for number in range(1, 10)}
    line = "ImageSet.zip/ImageSet/10/train.csv: line 16"
    left_out = "none of the classes that are asked for; left out"
    twice = "the same box of the same class stands before"
    odd = "Gun: area 104 px², shape 0.04, down 0.53"
    return tiny, [
        (Flaw.LABELS_DISAGREE, "P00002", "the image sets say Gun, Knife, boxes are Knife"),
        (Flaw.SETS_DISAGREE, "P00003", "Gun, Knife; another line says Gun", line),
        (Flaw.BOXED_NEGATIVE, "N0000001", "the release calls it negative"),
        (Flaw.UNANNOTATED, "P00003", "no annotation that can be used"),
        (Flaw.UNANNOTATED, "P00005", "no annotation that can be used"),
        (Flaw.STRAY_ANNOTATION, "P00777", "an annotation without an image", f"{XML}P00777.xml"),
        (Flaw.UNREADABLE_LABELS, "P00005", "not XML (…", at[5]),
        (Flaw.UNKNOWN_CLASS, "P00006", "class 'Bomb' is none of…", f"{at[6]}: object 2"),
        (Flaw.OUTSIDE, "P00007", "98,1,99,9 lies outside the image…", f"{at[7]}: object 3"),
        (Flaw.REPEATED_BOX, "P00001", twice, "", "", "P00001/a2"),
        (Flaw.NO_OBJECT, "P00004", "a positive whose annotation holds no usable box"),
        (Flaw.EMPTY_OBJECT, "P00009", "empty; left out", f"{at[9]}: object 2"),
        (Flaw.LEFT_OUT_CLASS, "P00007", f"Hammer is {left_out}", f"{at[7]}: object 2"),
        (Flaw.SWAPPED_CORNERS, "P00009", "xmax 1 below xmin 20; swapped", f"{at[9]}: object 1"),
        (Flaw.OVERHANG, "P00001", "xmax 97 exceeds width 96; clipped", f"{at[1]}: object 2"),
        (Flaw.OVERHANG, "P00007", "xmax 99 exceeds width 96; clipped", f"{at[7]}: object 3"),
        (Flaw.OTHER_NAME, "P00006", "<filename> says 'P00007.jpg'; taken for P00006", at[6]),
        (Flaw.NARROW_BOX, "P00008", "2 x 52 pixels", "", "", "P00008/a1"),
        (Flaw.ODD_BOX, "P00008", odd, "", "", "P00008/a1"),
    ]


def duplicates():
    tiny = tidy()
    gun, bag = tiny.images["P00001"], tiny.images["N0000001"]
    tiny.images |= {"N0000002": bag, "N0000003": again(bag)}
    tiny.images |= {"N0000004": gun, "N0000005": again(gun, 70), "P00003": again(gun)}
    near = "0 of 64 bits of their hashes differ"
    return tiny, [
        (Flaw.NEGATIVE_IS_POSITIVE, "N0000004", "the same bytes", "", "P00001"),
        (Flaw.NEGATIVE_LIKE_POSITIVE, "N0000005", near, "", "P00001"),
        (Flaw.SAME_BYTES, "N0000002", "the same bytes", "", "N0000001"),
        (Flaw.NEAR_DUPLICATE, "N0000003", near, "", "N0000001"),
        (Flaw.NEAR_DUPLICATE, "P00003", near, "", "P00001"),
    ]


def same(found, wanted):
    """Whether a finding is the one that is wanted; a text that ends in … is how it begins."""
    flaw, image_id, text, where, other, box = (*wanted, "", "", "")[:6]
    told = found["text"]
    begins = text.endswith("…") and not told.endswith("…") and told.startswith(text[:-1])
    names = (found["flaw"], found["image_id"], found["where"], found["other_id"], found["box_id"])
    return names == (str(flaw), image_id, where, other, box) and (told == text or begins)


def audited(tmp_path, tiny, settings=SHORT):
    take(tmp_path, tiny.write(tmp_path / "release"), "skip")
    return audit(Workspace(tmp_path / "ws"), settings)


def test_nothing_is_wrong_with_a_tidy_release(tmp_path):
    result = audited(tmp_path, tidy())

    assert (result.kinds, result.faults, result.remarks) == ((), 0, 0)
    assert (result.images, result.boxes, result.written) == (8, 5, True)
    assert result.rules == ("images: 61 to 150 pixels wide", "images: 41 to 100 pixels high")


@pytest.mark.parametrize("release", [odd_images, odd_labels, duplicates])
def test_each_flaw_is_found_and_named(tmp_path, release):
    tiny, wanted = release()

    result = audited(tmp_path, tiny)

    found = [example for kind in result.kinds for example in kind.examples]
    assert len(found) == len(wanted) == sum(kind.count for kind in result.kinds)
    assert [want for one, want in zip(found, wanted, strict=True) if not same(one, want)] == []
    faults = sum(want[0].severity == "fault" for want in wanted)
    assert (result.faults, result.remarks) == (faults, len(wanted) - faults)
