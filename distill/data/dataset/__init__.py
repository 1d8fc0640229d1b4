"""From a folder to an image index: how images are given, matched to labels and split into parts."""
