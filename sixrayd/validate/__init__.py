"""Whether an export is whole, and whether its files agree with each other."""
