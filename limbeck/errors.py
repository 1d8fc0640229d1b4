"""What the client raises. Each is a `LimbeckError`, and its text is one line that can be shown to a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.models import Job


class LimbeckError(Exception):
    """Something that the service said, or that kept it from answering."""


@dataclass(frozen=True)
class FieldError:
    """Where in the request something is wrong, and what: a pointer (RFC 6901) into the body, or a parameter's name."""

    pointer: str
    detail: str
    parameter: str | None = None


class Problem(LimbeckError):
    """The service refused (RFC 9457). `code` is stable; `errors` point at the culprits in what was sent."""

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
        # A problem with one culprit often says the same twice.
        said = self.detail if first.detail in self.detail else first.detail
        return f"{where}: {said}{more}"


class Unreachable(LimbeckError):
    """No answer, after as many tries as there are to be."""


class JobFailed(LimbeckError):
    """A job that was waited for ended otherwise than well."""

    def __init__(self, job: "Job") -> None:
        self.job = job
        why = f": {job.error.code}: {job.error.message}" if job.error else ""
        super().__init__(f"{job.kind} job {job.id} {job.status}{why}")


class BrokenDownload(LimbeckError):
    """A file whose bytes are not what the manifest says, or a manifest that names what no bundle may hold."""
