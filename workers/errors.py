"""How a part ends other than well."""

from distill import Stopped

__all__ = ["JobFailed", "PartFailed", "Stopped"]


class PartFailed(RuntimeError):
    """The part cannot succeed, however often it is tried. `code` is stable; the message names thing, reason, mend."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class JobFailed(PartFailed):
    """Nor can any other part of its job."""
