"""Negative shards → ranked candidates."""
