"""The parts of a model card for a student of images with several labels."""
