"""Tests of the demo's report."""
