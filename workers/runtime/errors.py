"""Exceptions that end a part without a result."""

from distill import Stopped

__all__ = ["Deferred", "FatalJobError", "PartError", "Stopped"]


class PartError(RuntimeError):
    """The part cannot succeed. `code` is stable; the message names thing, reason and fix.

    `retry_in_s`: pause before the second attempt, which doubles with each further one; None if a retry cannot help.
    """

    def __init__(self, code: str, message: str, *, retry_in_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_in_s = retry_in_s


class FatalJobError(PartError):
    """The whole job fails with this error, and its other parts stop."""


class Deferred(RuntimeError):
    """The part waits for an external event. It is queued again after `in_s` seconds, without counting an attempt."""

    def __init__(self, in_s: float) -> None:
        super().__init__(f"deferred for {in_s:g} s")
        self.in_s = in_s
