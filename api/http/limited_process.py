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
_BATCH = 1000
_MODULES = [
    "api.readers.label_files",
    "api.readers.attribute_files",
    "api.readers.student_models",
    "api.jobs.whole_job",
    "api.http.json_bodies",
    "api.uploads.archives",
]

HeadT = TypeVar("HeadT")
ItemT = TypeVar("ItemT")

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(_MODULES)


class _Failure(NamedTuple):
    """An exception of the function."""

    error: Exception


class LimitedProcesses:
    """Runs each function in a separate process; at most `num_processes` run at a time, and the others wait.

    `too_costly` makes the error for a function that takes more than `memory_bytes` or `time_s`; its argument is
    `memory` or `time`.
    """

    def __init__(
        self, num_processes: int, *, memory_bytes: int, time_s: float, too_costly: Callable[[str], ProblemError]
    ) -> None:
        self.memory_bytes, self.time_s = memory_bytes, time_s
        self._slots = threading.BoundedSemaphore(num_processes)
        self._too_costly = too_costly

    def run(self, function: Callable[..., tuple[HeadT, list[ItemT]]], *args: object) -> tuple[HeadT, list[ItemT]]:
        """`function(*args)`. It must be importable, and its arguments, results and exceptions picklable.

        Raises what it raises, and the error of `too_costly`.
        """
        with self._slots:
            receiving, sending = _context.Pipe(duplex=False)
            process = _context.Process(target=_child, args=(sending, self.memory_bytes, function, *args), daemon=True)
            process.start()
            sending.close()
            try:
                return self._receive(receiving)
            finally:
                process.kill()
                process.join()
                process.close()
                receiving.close()

    def _receive(self, receiving: Connection) -> tuple[HeadT, list[ItemT]]:
        try:
            head = self._next(receiving)
            if isinstance(head, _Failure):
                raise head.error
            items: list[ItemT] = []
            while batch := self._next(receiving):
                items += batch  # type: ignore[arg-type]
        except EOFError:
            raise self._too_costly("memory") from None
        return head, items  # type: ignore[return-value]

    def _next(self, receiving: Connection) -> object:
        if not receiving.poll(self.time_s):
            raise self._too_costly("time")
        return receiving.recv()


def _body_too_costly(what: str) -> ProblemError:
    detail = f"reading the body takes too much {what}: send fewer labels at a time, or a simpler file"
    return ProblemError(413, "body_too_costly", detail, headers={"Connection": "close"})


BODIES = LimitedProcesses(2, memory_bytes=4 * 2**30, time_s=60.0, too_costly=_body_too_costly)


def run(function: Callable[..., tuple[HeadT, list[ItemT]]], *args: object, num_bytes: int) -> tuple[HeadT, list[ItemT]]:
    """`function(*args)`: here for a body of few bytes, else in one of `BODIES`, with its conditions and errors."""
    if num_bytes <= LARGE_BYTES:
        return function(*args)
    return BODIES.run(function, *args)


def _child(
    sending: Connection, memory_bytes: int, function: Callable[..., tuple[object, list[object]]], *args: object
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
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
