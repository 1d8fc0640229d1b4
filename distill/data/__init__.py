"""Data: image index, decoded images, crops, RandAugment, few-shot sampling, random numbers, row cache."""
