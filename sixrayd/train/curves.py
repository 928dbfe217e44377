"""The learning curves as a picture."""

from pathlib import Path

from sixrayd.core.figures import plain_style, png_of
from sixrayd.core.files import write_bytes
from sixrayd.train.kept_state import EpochResult


@plain_style()
def draw_curves(path: Path, results: list[EpochResult]) -> None:
    """Losses and learning rate by epoch, and below them validation where there was any; PNG."""
    from matplotlib.figure import Figure

    judged = [(r.epoch, r.validation) for r in results if r.validation is not None]
    figure = Figure(figsize=(8, 7.5 if judged else 4.5), dpi=120, layout="constrained")
    axes, *below = figure.subplots(1 + bool(judged), sharex=True, squeeze=False)[:, 0]
    epochs = [r.epoch for r in results]
    axes.plot(epochs, [r.class_loss for r in results], label="class loss")
    axes.plot(epochs, [r.offset_loss for r in results], label="offset loss")
    axes.set(xlabel="epoch", ylabel="loss for each matched prior", ylim=(0, None))
    rate = axes.twinx()
    rate.plot(epochs, [r.learning_rate for r in results], color="0.7", label="learning rate")
    rate.set(ylabel="learning rate", ylim=(0, None))
    for panel in below:
        panel.plot(*zip(*judged, strict=True), marker="o", color="C2")
        panel.set(xlabel="epoch", ylabel="validation mean AP", ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3)
    write_bytes(path, png_of(figure))
