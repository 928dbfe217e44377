"""What is wrong with a detection set: images, labels, boxes, duplicates."""
