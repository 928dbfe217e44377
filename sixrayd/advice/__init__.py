"""What a workspace has come to, and what is to be done next: one judgement for all commands."""
