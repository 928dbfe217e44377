"""The release's positives → a detector's weights."""
