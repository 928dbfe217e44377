"""The release, candidates and decisions, side by side in FiftyOne."""
