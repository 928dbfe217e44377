"""One page on a whole workspace."""
