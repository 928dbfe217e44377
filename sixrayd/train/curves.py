"""The learning curves as a picture."""

from pathlib import Path

from sixrayd.core.files import replacing
from sixrayd.train.fit import EpochResult


def draw_curves(path: Path, results: list[EpochResult]) -> None:
    """Losses and learning rate by epoch, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    epochs = [r.epoch for r in results]
    axes.plot(epochs, [r.class_loss for r in results], label="class loss")
    axes.plot(epochs, [r.offset_loss for r in results], label="offset loss")
    axes.set(xlabel="epoch", ylabel="loss for each matched prior", ylim=(0, None))
    rate = axes.twinx()
    rate.plot(epochs, [r.learning_rate for r in results], color="0.7", label="learning rate")
    rate.set(ylabel="learning rate", ylim=(0, None))
    figure.legend(loc="outside upper center", ncols=3)
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=120, metadata={"Software": None})
