"""What is sent to reviewers, in which order, and why."""
