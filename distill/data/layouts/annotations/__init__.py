"""Readers of JSON files that name images and their labels: COCO, iNaturalist, and the split files of CoOp."""
