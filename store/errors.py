"""What the store refuses, in terms that the edge turns into a problem or a one-line error."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Culprit:
    """Where in the request something is wrong (an RFC 6901 pointer), and what."""

    pointer: str
    detail: str


class Refused(ValueError):
    """A request that names something wrong; nothing was changed."""

    def __init__(self, code: str, message: str, culprits: Sequence[Culprit] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.culprits = tuple(culprits)


class NotFound(LookupError):
    """No such row."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"no {kind} {id!r}")
        self.kind = kind
        self.id = id


class Conflict(RuntimeError):
    """The row is not in a state that allows this."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class DraftStale(Conflict):
    """A draft is at another version than the one that a change starts from."""

    def __init__(self, version: int, expected: int) -> None:
        detail = f"the draft is at version {version}, not {expected}; GET it again and repeat what still applies"
        super().__init__("draft_stale", detail)
        self.version = version


class LeaseLost(RuntimeError):
    """The part is no longer this worker's; whatever it was writing is rolled back."""
