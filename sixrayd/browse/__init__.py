"""The exported dataset, candidates and decisions, side by side in FiftyOne."""
