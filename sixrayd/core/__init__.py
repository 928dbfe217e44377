"""What every stage shares: boxes, classes, records, VOC, shards, workspace, errors."""
