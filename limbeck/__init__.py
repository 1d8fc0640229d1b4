"""The Python client (`from limbeck import Client, AsyncClient`), its errors, and the `limbeck` command.

The names are imported when they are first used, so that `import limbeck` and the command's `--help` are fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from limbeck.client.asynchronous.client import AsyncClient
    from limbeck.client.synchronous.client import Client
    from limbeck.errors import (
        BrokenDownload,
        Conflict,
        DiskFull,
        FieldError,
        FilesInTheWay,
        InvalidRequest,
        JobFailed,
        LimbeckError,
        MissingPart,
        NotAuthenticated,
        NotFound,
        NotPermitted,
        Problem,
        ServiceFailed,
        TooManyRequests,
        UnexpectedResponse,
        Unreachable,
        VersionMismatch,
    )

__all__ = [
    "AsyncClient",
    "BrokenDownload",
    "Client",
    "Conflict",
    "DiskFull",
    "FieldError",
    "FilesInTheWay",
    "InvalidRequest",
    "JobFailed",
    "LimbeckError",
    "MissingPart",
    "NotAuthenticated",
    "NotFound",
    "NotPermitted",
    "Problem",
    "ServiceFailed",
    "TooManyRequests",
    "UnexpectedResponse",
    "Unreachable",
    "VersionMismatch",
]

_CLIENTS = {
    "AsyncClient": "limbeck.client.asynchronous.client",
    "Client": "limbeck.client.synchronous.client",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_CLIENTS.get(name, "limbeck.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
