"""Which weights are judged: those trained on the tree, else those of the workspace."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sixrayd.benchmark.results import ModelFacts
from sixrayd.core.classes import ClassList
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.lineage import Lineage, lineage_of


@dataclass(frozen=True, slots=True)
class Model:
    """Weights of a finished training, and what they have learnt from."""

    name: str
    detector: str
    weights: Path
    lineage: Lineage
    run: Run

    def knows(self, images: frozenset[str]) -> list[str]:
        """Those of the images that it has learnt from, itself or before; sorted."""
        return sorted(self.lineage.images & images)

    def facts(self) -> ModelFacts:
        """What the report says of it."""
        validation: Mapping[str, float] = self.run.summary["validation"]
        return ModelFacts(
            self.name,
            self.detector,
            int(self.run.settings["recipe"]["epochs"]),
            int(self.run.settings["seed"]),
            len(self.lineage.images),
            validation.get("mean"),
            self.run.settings.get("init") or "random",
        )


def find_models(
    workspace: Workspace,
    data: Workspace,
    wanted: tuple[str, ...],
    classes: ClassList,
    tested: frozenset[str] = frozenset(),
) -> dict[str, Model]:
    """The newest weights of each wanted detector for these classes, where there are any.

    Args:
        data: the tree's own workspace, whose models come first.
        tested: images of which weights should not have learnt, where there are others.

    Raises:
        WorkspaceError: weights have changed since they were trained.
    """
    found: dict[str, Model] = {}
    for place in (data, workspace):
        for name in reversed(place.names("models")):
            run = place.run("models", name)
            detector = run.settings["detector"]
            if detector not in wanted or (detector in found and not found[detector].knows(tested)):
                continue
            weights = place.output("models", name, "weights.safetensors")
            if load_checkpoint(weights).classes == classes:
                model = Model(name, detector, weights, lineage_of(place, name), run)
                if detector not in found or not model.knows(tested):
                    found[detector] = model
    return {detector: found[detector] for detector in wanted if detector in found}
