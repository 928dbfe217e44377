"""Which weights are judged: those named, or those trained on the tree, or the workspace's."""

from collections.abc import Mapping
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
    chosen = {}
    remarks = []
    for detector in wanted:
        best, passed = _best(_places(workspace, data), detector, classes, tested)
        if best is not None:
            chosen[detector] = best
        if best is not None and passed:
            remarks.append(
                f"{detector}: {best.name} is judged, and not {', '.join(passed)}; name others "
                "with --models"
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


def _best(
    places: tuple[Workspace, ...], detector: str, classes: ClassList, tested: frozenset[str]
) -> tuple[Model | None, list[str]]:
    """The model to judge, and the others with why not; older ones stay unread."""
    best, passed = None, []
    learnt: list[Model] = []
    for home in places:
        for name in reversed(home.names("models")):
            if home.run("models", name).settings["detector"] != detector:
                continue
            if best is not None:
                alike = best.weights.parents[1] == home.folder("models")
                passed.append(f"{name} ({'older' if alike else 'not trained on the tree'})")
            elif load_checkpoint(home.output("models", name, _WEIGHTS)).classes == classes:
                model = _model(home, name)
                if model.knows(tested):
                    learnt.append(model)
                else:
                    best = model
    if best is None and learnt:
        best = learnt.pop(0)
    told = [f"{m.name} (learnt from {len(m.knows(tested))} of the test images)" for m in learnt]
    return best, told + passed


def _places(workspace: Workspace, data: Workspace) -> tuple[Workspace, ...]:
    return (data,) if data.root == workspace.root else (data, workspace)


def _model(home: Workspace, name: str) -> Model:
    run = home.run("models", name)
    weights = home.output("models", name, _WEIGHTS)
    return Model(name, run.settings["detector"], weights, lineage_of(home, name), run)
