"""In what a benchmark by the paper's protocol departs from the paper, or may.

Source: Nguyen et al. 2022 (doi:10.3390/mi13040565), Sec. 5.1.
"""

from collections.abc import Iterator

from sixrayd.benchmark import published
from sixrayd.benchmark.protocol import PAPER, Protocol
from sixrayd.benchmark.published import family
from sixrayd.benchmark.results import UNSAID, Departure, ModelFacts, Results, Table
from sixrayd.crop.settings import CannySettings
from sixrayd.detectors.pretrained import WEIGHTS


def list_departures(
    results: Results, rules: Protocol, scale: float, canny: CannySettings = CannySettings()
) -> tuple[Departure, ...]:
    """Every one of them; none of a benchmark by another protocol.

    Args:
        rules: the protocol as it was run.
        scale: pixels of a dynamic input for a pixel of the image.
        canny: thresholds of the edge crop.
    """
    if rules.name != PAPER.name:
        return ()
    return (
        *_of_images(results),
        *(departure for model in results.models for departure in _of_model(model)),
        *_of_rules(rules),
        *(departure for table in results.tables for departure in _of_rows(table)),
        Departure("device", results.device, published.DEVICE),
        *_unsaid(rules, scale, canny),
    )


def _of_images(results: Results) -> Iterator[Departure]:
    if results.split is not None:
        theirs = "at random, 90 % to learn from; not published as a list"
        yield Departure("split", results.split.title, theirs)
    tested = results.images["test"]
    if tested != published.TEST_IMAGES:
        yield Departure("test images", f"{tested:,}", f"{published.TEST_IMAGES}")
    if empty := results.images["negatives"]:
        yield Departure("empty test images", f"{empty:,}, judged apart for false alarms", "none")
    ours = {name.casefold() for name in results.classes}
    if ours != {name.casefold() for name in published.CLASSES}:
        yield Departure("classes", ", ".join(results.classes), ", ".join(published.CLASSES))


def _of_model(model: ModelFacts) -> Iterator[Departure]:
    if model.detector not in PAPER.detectors:
        known = (one for one in PAPER.detectors if family(one) == family(model.detector))
        yield Departure(f"{model.name}: detector", model.detector, next(known, "no such row"))
    if model.epochs != PAPER.epochs:
        yield Departure(f"{model.name}: epochs", str(model.epochs), str(PAPER.epochs))
    if model.start not in WEIGHTS:
        yield Departure(
            f"{model.name}: began from", model.start, "what the published code takes: ImageNet"
        )
    if model.input_px not in (0, published.INPUT_PX):
        yield Departure(f"{model.name}: fixed input", f"{model.input_px} px", "512 px")


def _of_rules(rules: Protocol) -> Iterator[Departure]:
    """What options changed."""
    if rules.k != PAPER.k:
        yield Departure("k", f"{rules.k:g}" if rules.k is not None else "chosen", f"{PAPER.k:g}")
    crop = rules.tdc_crop()
    for name in ("form", "layer", "kernel", "kernel_unit", "border", "axes", "numbering"):
        ours, theirs = getattr(crop, name), getattr(PAPER.crop, name)
        if ours != theirs:
            yield Departure(f"TDC: {name.replace('_', ' ')}", f"{ours}", f"{theirs}")


def _of_rows(table: Table) -> Iterator[Departure]:
    for label, why in table.absent.items():
        yield Departure(f"{table.name} input: {label}", f"no figures ({why})", "a row")


def _unsaid(rules: Protocol, scale: float, canny: CannySettings) -> Iterator[Departure]:
    """What the paper leaves open, and what stands in its place."""
    if rules.tdc_crop().border == "zeros":
        yield Departure("TDC: beyond the border", "zeros, as in the detector", UNSAID)
    yield Departure("Canny crop: thresholds", f"{canny.lower:g} and {canny.upper:g}", UNSAID)
    yield Departure("TDC: ends of the median filter", "the profile is reflected", UNSAID)
    yield Departure("dynamic input: size", f"{scale:.3f} px for a pixel of the image", UNSAID)
    yield Departure("dynamic input: priors", "keep their pixels", UNSAID)
    yield Departure("boxes of a crop", "mapped back, scored against the whole image", UNSAID)
    yield Departure(
        "edges of boxes",
        "right and bottom exclusive; suppression adds a pixel to them all the same",
        "inclusive, by the published code",
    )
