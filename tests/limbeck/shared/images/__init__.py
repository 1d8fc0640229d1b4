"""Tests of the decoder of image files."""
