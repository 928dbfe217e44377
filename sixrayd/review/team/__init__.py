"""People who join a review, and people who leave it."""
