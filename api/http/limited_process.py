"""Runs a function on a large body in a process with limited memory and time, so that the server stays responsive.

Parsing 64 MB of JSON is one call in C that holds Python's global lock: on the server's own process, no other request
would be answered meanwhile, and a list of a hundred million numbers would need more memory than the machine has. The
function returns a head and a list of items. The items come back in batches, because unpickling holds the lock too.
"""

import multiprocessing
import resource
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import NamedTuple, TypeVar

from api.http.problems import ProblemError

LARGE_BYTES = 256 * 1024
"""Bodies up to this size are parsed in the server's process: it takes at most some tens of milliseconds."""
MEMORY_BYTES = 4 * 2**30
TIME_S = 60.0
_BATCH = 1000
_PROCESSES = 2
_MODULES = ["api.readers.label_files", "api.readers.attribute_files", "api.jobs.whole_job", "api.http.json_bodies"]

HeadT = TypeVar("HeadT")
ItemT = TypeVar("ItemT")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_MODULES)
_slots = threading.BoundedSemaphore(_PROCESSES)


class _Failure(NamedTuple):
    """An exception of the function."""

    error: Exception


def run(function: Callable[..., tuple[HeadT, list[ItemT]]], *args: object, num_bytes: int) -> tuple[HeadT, list[ItemT]]:
    """`function(*args)`: here for a body of few bytes, else in a process. At most two processes run at a time.

    `function` must be importable, and its arguments, results and exceptions picklable. Raises what it raises, and
    ProblemError for a body that takes more than `MEMORY_BYTES` or `TIME_S`.
    """
    if num_bytes <= LARGE_BYTES:
        return function(*args)
    with _slots:
        receiving, sending = _context.Pipe(duplex=False)
        process = _context.Process(target=_child, args=(sending, function, *args), daemon=True)
        process.start()
        sending.close()
        try:
            return _receive(receiving)
        finally:
            process.kill()
            process.join()
            process.close()
            receiving.close()


def _receive(receiving: Connection) -> tuple[HeadT, list[ItemT]]:
    try:
        head = _next(receiving)
        if isinstance(head, _Failure):
            raise head.error
        items: list[ItemT] = []
        while batch := _next(receiving):
            items += batch  # type: ignore[arg-type]
    except EOFError:
        raise _too_costly("memory") from None
    return head, items  # type: ignore[return-value]


def _next(receiving: Connection) -> object:
    if not receiving.poll(TIME_S):
        raise _too_costly("time")
    return receiving.recv()


def _too_costly(what: str) -> ProblemError:
    detail = f"reading the body takes too much {what}: send fewer labels at a time, or a simpler file"
    return ProblemError(413, "body_too_costly", detail, headers={"Connection": "close"})


def _child(sending: Connection, function: Callable[..., tuple[object, list[object]]], *args: object) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        head, items = function(*args)
    except MemoryError:
        return  # the closed pipe says so
    except Exception as error:
        sending.send(_Failure(error))
        return
    sending.send(head)
    for start in range(0, len(items), _BATCH):
        sending.send(items[start : start + _BATCH])
    sending.send([])
