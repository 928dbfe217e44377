"""Detectors and crops, compared on a PASCAL VOC tree."""
