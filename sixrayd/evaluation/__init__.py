"""Matching detections to truth, and average precision."""
