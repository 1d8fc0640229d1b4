"""Tests of `limbeck.shared`."""
