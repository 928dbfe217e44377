"""Matching detections to truth, average precision and its intervals, false alarms."""
