"""What an answer of a reviewer means: versions, consensus, what stands."""
