"""From a published release to shards, index and annotations."""
