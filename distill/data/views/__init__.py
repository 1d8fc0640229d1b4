"""What changes a view beyond its crop, flip and RandAugment: colour, erasing, and mixtures of two images."""
