"""What changed between two sets."""
