"""Nightly tests of installed parts: `make test-slow`."""
