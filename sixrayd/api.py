"""The Python API: one function and one settings class a stage, imported when first asked for.

Example:
    from sixrayd.api import MineSettings, Workspace, mine

    result = mine(Workspace("workspace"), MineSettings(threshold=0.1))
"""

import importlib
from typing import Any

_PLACES = {
    "sixrayd.core.classes": ("ClassList",),
    "sixrayd.core.errors": ("SixraydError",),
    "sixrayd.core.workspace": ("Workspace",),
    "sixrayd.synth": ("SynthSettings", "synthesize"),
    "sixrayd.download.settings": ("DownloadSettings",),
    "sixrayd.download.stage": ("download",),
    "sixrayd.train.settings": ("TrainSettings",),
    "sixrayd.train.stage": ("train",),
    "sixrayd.mine.settings": ("MineSettings",),
    "sixrayd.mine.stage": ("mine",),
    "sixrayd.mine.external": ("ExternalSettings", "take_detections"),
    "sixrayd.review.push": ("AdjudicateSettings", "PushSettings", "adjudicate", "push"),
    "sixrayd.review.pull": ("PullSettings", "pull"),
    "sixrayd.review.planting.plant": ("PlantSettings", "plant"),
    "sixrayd.review.agreement": ("AgreementSettings", "agreement"),
    "sixrayd.review.next_round": ("NextSettings", "next_round"),
    "sixrayd.review.withdraw": ("WithdrawSettings", "withdraw"),
    "sixrayd.estimate.settings": ("EstimateSettings", "SampleSettings", "Target"),
    "sixrayd.estimate.sample": ("draw_sample",),
    "sixrayd.estimate.stage": ("estimate",),
    "sixrayd.estimate.certify": ("certify",),
    "sixrayd.statistics.certificate": ("BoundSettings",),
    "sixrayd.verify.stage": ("verify",),
    "sixrayd.export.stage": ("ExportSettings", "export"),
    "sixrayd.benchmark.settings": ("BenchmarkSettings",),
    "sixrayd.benchmark.stage": ("benchmark",),
    "sixrayd.browse.stage": ("BrowseSettings", "browse"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
