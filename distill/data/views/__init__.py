"""What changes a view beyond its crop, flip and RandAugment: colour and erasing."""
