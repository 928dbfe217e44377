"""Detectors: backbones, RFB heads, priors, losses, decoding, checkpoints."""
