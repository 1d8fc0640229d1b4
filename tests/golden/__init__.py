"""Golden files: recorded behaviour of the project, and tests that compare the current behaviour with it.

`python -m tests.golden.record` records the golden files again from the current code. Do this only for an intended
change of behaviour.
"""
