"""The corrected dataset as PASCAL VOC 2007, with every image's state and every box's origin."""
