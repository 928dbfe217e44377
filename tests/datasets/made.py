"""Label sets for tests: written by hand, or drawn by hypothesis."""

from hypothesis import strategies as st

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.voc import Provenance, VocObject
from sixrayd.datasets.labelled import ImageLabels, LabelledSet

CLASSES = ClassList(("Gun", "Knife"))
SIZE_WH = (96, 64)


def item(label, *edges, difficult=False, truncated=False, origin=""):
    """An object."""
    provenance = Provenance(origin) if origin else None
    return VocObject(Box(label, *edges), difficult, truncated, provenance)


def labelled(images, splits=None, sha256=None, classes=CLASSES):
    """A set; images are id → objects or None, hashes id → one letter that is repeated."""
    said = {
        image_id: ImageLabels(
            image_id,
            None if objects is None else tuple(objects),
            (sha256 or {}).get(image_id, "") * 64,
            SIZE_WH,
        )
        for image_id, objects in images.items()
    }
    return LabelledSet("voc", classes, said, splits or {})


@st.composite
def objects(draw):
    x1, y1 = draw(st.integers(0, 94)), draw(st.integers(0, 62))
    x2, y2 = draw(st.integers(x1 + 1, 96)), draw(st.integers(y1 + 1, 64))
    return item(
        draw(st.sampled_from(CLASSES.names)),
        *(float(edge) for edge in (x1, y1, x2, y2)),
        difficult=draw(st.booleans()),
        truncated=draw(st.booleans()),
        origin=draw(st.sampled_from(["", "source", "drawn"])),
    )


IDS = st.sampled_from(["P1", "P2", "P3", "N1", "N2"])
SIDES = st.dictionaries(IDS, st.sampled_from(["train", "test"]), max_size=4)
SETS = st.builds(
    labelled,
    st.dictionaries(IDS, st.none() | st.lists(objects(), max_size=4)),
    st.dictionaries(st.sampled_from(["given", "leak-free"]), SIDES),
)
