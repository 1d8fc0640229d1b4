"""The exit codes of `limbeck`, `python -m attributes` and `python -m distill`; docs/exit-codes.md describes them."""

FAILED = 1
INVALID_INPUT = 2
LABELS_MISSING = 3
PART_MISSING = 4
INTERRUPTED = 130
