"""Errors of the store. The API turns them into problem documents, the command line into one-line errors."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class InvalidField:
    """An invalid field of a request: its JSON pointer (RFC 6901) and the reason."""

    pointer: str
    detail: str


class InvalidRequest(ValueError):
    """The request is invalid; nothing was changed. `code` is stable, `invalid_fields` locate the errors."""

    def __init__(self, code: str, message: str, invalid_fields: Sequence[InvalidField] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.invalid_fields = tuple(invalid_fields)


class NotFound(LookupError):
    """The row does not exist."""

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"no {kind} {id!r}")
        self.kind = kind
        self.id = id


class NotOwner(PermissionError):
    """The row belongs to another owner, and the principal is no admin."""

    def __init__(self, kind: str, id: str, owner: str) -> None:
        super().__init__(f"the {kind} {id} belongs to {owner!r}: use a key of this name, or one with the scope admin")


class BudgetExceeded(RuntimeError):
    """The job may cost more than is left of the budget of its key."""


class QuotaExceeded(RuntimeError):
    """The upload does not fit into what is left of the quota."""


class Conflict(RuntimeError):
    """The state of the row does not allow the operation."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class UserOfResource:
    """A resource that uses another one: its kind, its id, and how it uses it."""

    kind: str
    id: str
    detail: str


class InUse(Conflict):
    """The resource cannot be deleted. `users`: the first resources that use it, or the jobs that need it."""

    def __init__(self, code: str, message: str, users: Sequence[UserOfResource]) -> None:
        super().__init__(code, message)
        self.users = tuple(users)


class DraftStale(Conflict):
    """The draft is not at the version that the change expects."""

    def __init__(self, version: int, expected: int) -> None:
        detail = f"the draft is at version {version}, not {expected}; GET it again and repeat what still applies"
        super().__init__("draft_stale", detail)
        self.version = version


class LeaseLost(RuntimeError):
    """Another worker has claimed the part, or its lease expired; the current transaction is rolled back."""


class SettingInvalid(ValueError):
    """A setting cannot be used. The text is one line that begins with the variable and contains no password."""


class DatabaseUnusable(RuntimeError):
    """The database does not respond, or is at another revision. The text is one line without the password."""
