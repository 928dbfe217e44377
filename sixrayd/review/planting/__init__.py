"""Planted threats: known items in clean negatives, to measure who misses what."""
