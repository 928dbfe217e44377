"""Patches of labels: what they hold, and the set that one leads to."""
