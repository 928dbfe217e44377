"""Bounds on what is still missed, how well reviewers see, how far they agree, recapture."""
