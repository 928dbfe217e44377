"""Composes all stages on a synthetic release; holds the simulated reviewer."""
