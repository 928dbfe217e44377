"""What is done, what is stale, and what to run next."""
