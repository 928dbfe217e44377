"""The plan of a campaign: reviewers' hours divided, and what they will bring."""
