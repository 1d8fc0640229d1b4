"""Exceptions of the client. Each is a `LimbeckError`; its text is one line that can be shown to users."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.models import Job


class LimbeckError(Exception):
    """The service returned an error or could not be reached."""


@dataclass(frozen=True)
class FieldError:
    """An invalid field of a request: a JSON pointer (RFC 6901) into the body or a parameter's name, and the reason."""

    pointer: str
    detail: str
    parameter: str | None = None


class Problem(LimbeckError):
    """The service rejected a request (RFC 9457). `code` is stable; `errors` point to the invalid fields."""

    def __init__(self, *, status: int, code: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        super().__init__(self._line())

    def _line(self) -> str:
        if not self.errors:
            return f"{self.code}: {self.detail}"
        first = self.errors[0]
        more = f" (and {len(self.errors) - 1} more)" if len(self.errors) > 1 else ""
        place = first.pointer or first.parameter
        where = f"{self.code} at {place}" if place else self.code
        # With one invalid field, both details are often equal.
        detail = self.detail if first.detail in self.detail else first.detail
        if place:  # it often begins with the place
            detail = detail.removeprefix(place).lstrip(" :") if detail.startswith(f"{place}:") else detail
        return f"{where}: {detail}{more}"


class Unreachable(LimbeckError):
    """The service did not respond to any attempt."""


class UnexpectedResponse(LimbeckError):
    """The service returned a response that this client cannot read."""


class VersionMismatch(UnexpectedResponse):
    """The service returned a response that this client cannot read, and is another version than this client."""

    def __init__(self, what: str, *, client: str, service: str) -> None:
        self.client = client
        self.service = service
        super().__init__(
            f"the service is Limbeck {service} and this client is {client}: install the client of version {service} "
            f"({what})"
        )


class JobFailed(LimbeckError):
    """A job failed or was cancelled."""

    def __init__(self, job: "Job") -> None:
        self.job = job
        reason = f": {job.error.code}: {job.error.message}" if job.error else ""
        super().__init__(f"{job.kind} job {job.id} {job.status}{reason}")


class StoppedFollowing(Exception):
    """The user interrupted a command that follows a job. The text says what happens to the job."""


class BrokenDownload(LimbeckError):
    """A downloaded file does not match the manifest, or the manifest is invalid."""


class MissingPart(LimbeckError):
    """A checkpoint lacks a requested part of its bundle."""
