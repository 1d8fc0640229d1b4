"""How a part ends other than well."""

from distill import Stopped

__all__ = ["Deferred", "JobFailed", "PartFailed", "Stopped"]


class PartFailed(RuntimeError):
    """The part cannot succeed, however often it is tried. `code` is stable; the message names thing, reason, mend."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JobFailed(PartFailed):
    """Nor can any other part of its job."""


class Deferred(RuntimeError):
    """What the part waits for happens elsewhere: it is to come again in `in_s` seconds, which counts as no attempt."""

    def __init__(self, in_s: float) -> None:
        super().__init__(f"comes again in {in_s:g} s")
        self.in_s = in_s
