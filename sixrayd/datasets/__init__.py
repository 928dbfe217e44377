"""Detection sets in the forms that people hand out: COCO, YOLO, PASCAL VOC."""
