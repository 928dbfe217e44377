"""Which weights a training starts from, and which detectors they fit."""

import re
from collections.abc import Mapping
from pathlib import Path

from sixrayd.core.errors import CheckpointError, SettingsError
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.catalogue import DETECTORS, start_of
from sixrayd.detectors.lineage import trained_model
from sixrayd.detectors.pretrained import find_weights, initialise_from


def start_weights(workspace: Workspace, source: str) -> Path:
    """The weights that `--init` names: of a trained model, by its name or a file's path, or others.

    Raises:
        CheckpointError: there are none, or they cannot be had.
        WorkspaceError: the model's files have changed.
    """
    if not (ours := trained_model(workspace, source)):
        return find_weights(source)
    home, name = ours
    file = "weights.safetensors" if source == name else Path(source).name
    return home.output("models", name, file)


def sources_of(init: str) -> dict[str, str]:
    """What `benchmark --init` says: a source for each detector that it names, DETECTOR=SOURCE with
    commas between, and one for all others, under "", which is "auto" unless it is given.

    Raises:
        SettingsError: a detector has two, or none behind its name.
    """
    named = rf"(?:{'|'.join(map(re.escape, DETECTORS))})="  # a file's name may hold = and commas
    sources: dict[str, str] = {}
    for part in re.split(rf",(?={named})", init or "none"):
        detector, source = part.split("=", 1) if re.match(named, part) else ("", part)
        if not source or detector in sources:
            what = "two sources" if source else "no source"
            raise SettingsError(f"--init {init}: {what} for {detector}")
        sources[detector] = source
    return {"": "auto", **sources}


def check_starts(workspace: Workspace, sources: Mapping[str, str]) -> None:
    """Insist, before anything is trained, that each detector's source is there and fits it.

    Args:
        sources: by detector, of `sources_of`.

    Raises:
        CheckpointError: one is not, or does not fit; a source that fits others is told with them.
    """
    wanted = {detector: start_of(detector, init) for detector, init in sources.items()}
    wrong: dict[str, str] = {}
    for source in filter(None, dict.fromkeys(wanted.values())):
        path = start_weights(workspace, source)
        for detector in (d for d, s in wanted.items() if s == source):
            try:
                initialise_from(DETECTORS[detector].build(1), path)
            except CheckpointError as error:
                wrong[detector] = str(error)
    if not wrong:
        return
    detector, why = next(iter(wrong.items()))
    source = wanted[detector]
    fits = " and ".join(d for d, s in wanted.items() if s == source and d not in wrong)
    others = " nor ".join(d for d in wrong if wanted[d] == source)
    each = (f"{d}={'auto' if d in wrong else s or 'none'}" for d, s in wanted.items())
    raise CheckpointError(
        f"--init {source}: {f'fits {fits}, not' if fits else 'does not fit'} {others} ({why}); "
        f"name a source for each, as in --init {','.join(each)}"
    )
