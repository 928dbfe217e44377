"""Which weights are judged: those named, or those trained on the tree, or the workspace's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sixrayd.benchmark.results import ModelFacts
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.lineage import Lineage, lineage_of

_WEIGHTS = "weights.safetensors"


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

    def facts(self, input_px: int) -> ModelFacts:
        """What the report says of it.

        Args:
            input_px: side of its fixed input.
        """
        validation: Mapping[str, float] = self.run.summary["validation"]
        return ModelFacts(
            self.name,
            self.detector,
            int(self.run.settings["recipe"]["epochs"]),
            int(self.run.settings["seed"]),
            len(self.lineage.images),
            validation.get("mean"),
            self.run.settings.get("init") or "random",
            self.run.outputs[_WEIGHTS],
            input_px,
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is judged, in the order of the tables.

    Args:
        models: by what was asked for, a detector or a model's name; what has none is not there.
        remarks: other weights that would have served, and why they were passed over.
    """

    models: dict[str, Model]
    remarks: tuple[str, ...] = ()

    def refuse_learnt(self, tested: frozenset[str]) -> None:
        """Refuse weights that have learnt from one of these images.

        Raises:
            WorkspaceError: some have.
        """
        for model in self.models.values():
            if both := model.knows(tested):
                raise WorkspaceError(
                    f"{model.weights}: learnt from {len(both)} of the test images, itself or "
                    f"before, first {both[0]}; judge weights that have not, or pass "
                    "--train-missing"
                )


def find_models(
    workspace: Workspace,
    data: Workspace,
    wanted: tuple[str, ...],
    classes: ClassList,
    tested: frozenset[str] = frozenset(),
) -> Chosen:
    """The newest weights of each wanted detector for these classes, where there are any.

    Args:
        data: the tree's own workspace, whose models come first.
        tested: images of which weights should not have learnt, where there are others.

    Raises:
        WorkspaceError: weights have changed since they were trained.
    """
    found: dict[str, list[Model]] = {}
    for model in _trained(workspace, data, wanted, classes):
        found.setdefault(model.detector, []).append(model)
    chosen, remarks = {}, []
    for detector in (name for name in wanted if name in found):
        models = found[detector]
        best = next((model for model in models if not model.knows(tested)), models[0])
        chosen[detector] = best
        others = [_passed_over(model, best, tested) for model in models if model is not best]
        if said := ", ".join(others):
            remarks.append(
                f"{detector}: {best.name} is judged, and not {said}; name others with --models"
            )
    return Chosen(chosen, tuple(remarks))


def named_models(
    workspace: Workspace, data: Workspace, names: tuple[str, ...], classes: ClassList
) -> Chosen:
    """Trained models by name, those of the tree's own workspace first.

    Raises:
        WorkspaceError: there is no such model, it knows other classes, or its weights have
            changed.
    """
    chosen, remarks = {}, []
    for name in names:
        homes = [home for home in _places(workspace, data) if name in home.names("models")]
        if not homes:
            known = dict.fromkeys(n for home in (data, workspace) for n in home.names("models"))
            raise WorkspaceError(
                f"{workspace.folder('models')}: no model {name!r}; there is "
                f"{', '.join(known) or 'none'}"
            )
        weights = homes[0].output("models", name, _WEIGHTS)
        if (theirs := load_checkpoint(weights).classes) != classes:
            raise WorkspaceError(
                f"{weights}: knows the classes {', '.join(theirs.names)}; judged are "
                f"{', '.join(classes.names)}: pass --classes, or judge other weights"
            )
        chosen[name] = _model(homes[0], name)
        if homes[1:]:
            remarks.append(f"{name}: the tree's own is judged, and not that of {homes[1].root}")
    return Chosen(chosen, tuple(remarks))


def _trained(
    workspace: Workspace, data: Workspace, wanted: tuple[str, ...], classes: ClassList
) -> Iterator[Model]:
    """Finished models of these detectors and classes, the preferred ones first."""
    for home in _places(workspace, data):
        for name in reversed(home.names("models")):
            if home.run("models", name).settings["detector"] not in wanted:
                continue
            if load_checkpoint(home.output("models", name, _WEIGHTS)).classes == classes:
                yield _model(home, name)


def _places(workspace: Workspace, data: Workspace) -> tuple[Workspace, ...]:
    return (data,) if data.root == workspace.root else (data, workspace)


def _model(home: Workspace, name: str) -> Model:
    run = home.run("models", name)
    weights = home.output("models", name, _WEIGHTS)
    return Model(name, run.settings["detector"], weights, lineage_of(home, name), run)


def _passed_over(model: Model, best: Model, tested: frozenset[str]) -> str:
    """A model and why another is judged."""
    if learnt := len(model.knows(tested)):
        return f"{model.name} (learnt from {learnt} of the test images)"
    alike = model.weights.parents[1] == best.weights.parents[1]
    return f"{model.name} ({'older' if alike else 'not trained on the tree'})"
