"""Golden files: what the project did before its modules moved, and tests that compare it with what it does now.

`python -m tests.golden.record` writes the golden files again from the code as it stands. Do this only for a change of
behaviour that is meant.
"""
