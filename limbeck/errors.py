"""Exceptions of the client. Each is a `LimbeckError`; its text is one line that can be shown to users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.models import Job

_SHOWN_PATHS = 3


class LimbeckError(Exception):
    """The service returned an error or could not be reached."""


class PlainTextKey(UserWarning):
    """The key is sent over HTTP to another machine, so that everybody on the way can read it."""


@dataclass(frozen=True)
class FieldError:
    """An invalid field of a request: a JSON pointer (RFC 6901) into the body or a parameter's name, and the reason.

    Of a DELETE that is refused: the `kind` and the `id` of a resource that uses the one to be deleted.
    """

    pointer: str
    detail: str
    parameter: str | None = None
    kind: str | None = None
    id: str | None = None


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


class InvalidRequest(Problem):
    """The request or one of its fields is invalid (400, 405, 413, 415, 422, 428); `errors` name the fields."""


class NotAuthenticated(Problem):
    """The service requires an API key, or does not know this one (401)."""


class NotPermitted(Problem):
    """The API key may not do this (403)."""


class NotFound(Problem):
    """There is no such resource, or it is gone (404, 410)."""


class Conflict(Problem):
    """The state of the resource does not permit this, such as a draft at another version (409, 412)."""


class TooManyRequests(Problem):
    """The service asks to send fewer requests, also after waiting (429)."""


class ServiceFailed(Problem):
    """The service or a proxy failed (500 and above)."""


_BY_STATUS: Mapping[int, type[Problem]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: NotPermitted,
    404: NotFound,
    405: InvalidRequest,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    428: InvalidRequest,
    429: TooManyRequests,
}


def problem_for(*, status: int, code: str, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
    """The Problem of a response, of the class for its status."""
    kind = _BY_STATUS.get(status, ServiceFailed if status >= 500 else Problem)
    return kind(status=status, code=code, detail=detail, errors=errors)


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


class FilesInTheWay(LimbeckError):
    """A download would replace files that it did not write; it has written nothing. `paths`: the files."""

    def __init__(self, paths: Sequence[Path], reason: str) -> None:
        self.paths = tuple(paths)
        names = ", ".join(map(str, self.paths[:_SHOWN_PATHS])) + (", …" if len(self.paths) > _SHOWN_PATHS else "")
        super().__init__(f"{names}: {reason}; move them away, or choose another folder")


class DiskFull(LimbeckError):
    """A download does not fit on the disk. What has arrived is kept, and the same download continues with it."""
