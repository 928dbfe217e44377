"""Torchvision's models, whose compiled operators need not be there."""

import importlib
import importlib.util

import pytest
import torch

# Torchvision describes these operators when it is imported, and fails where none has that name.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # they are forgotten with their library


def torchvision_module(name):
    """A module of torchvision, or a skipped test without torchvision."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    try:
        return importlib.import_module(f"torchvision.{name}")
    except RuntimeError:
        if _declared:
            raise
        _declared.append(torch.library.Library("torchvision", "FRAGMENT"))
        for schema in _SCHEMAS:
            _declared[0].define(schema)
    return importlib.import_module(f"torchvision.{name}")
