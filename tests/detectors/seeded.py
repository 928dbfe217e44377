"""Weights and images that anyone can make again from names alone."""

import hashlib

import numpy as np
import torch


def _rng(name):
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def seeded_tensor(key, shape):
    """A tensor that keeps activations of order one, whatever layer the key belongs to."""
    rng = _rng(key)
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    if len(shape) > 1:
        fan_in = int(np.prod(shape[1:]))
        spread = (_gain(key) / fan_in) ** 0.5
        if shape[1] == 3:  # images come as 0..255 less their mean
            spread /= 64
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(spread)
    elif key == "L2Norm.weight":
        values = rng.uniform(10, 30, shape)
    elif key.endswith(("running_var", "weight")):
        values = rng.uniform(0.5, 1.5, shape)
    else:
        values = rng.normal(0, 0.1, shape)
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _gain(key):
    # Where branches are added to shortcuts, or no ReLU follows, less than ReLU's 2 will do.
    if ".conv3." in key:
        return 0.1
    return 1 if any(part in key for part in (".conv.", ".fpn.", "downsample")) else 2


def seeded_image(name, height, width):
    """(H, W, 3) uint8 RGB: coarse patches under fine noise."""
    rng = _rng(name)
    coarse = rng.integers(0, 200, (-(-height // 16), -(-width // 16), 3))
    patches = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
    return (patches + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)
