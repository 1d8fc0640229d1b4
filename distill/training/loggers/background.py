"""A logger in a thread of its own, so that one that fails or hangs never harms the training: at most one warning."""

import queue
import threading
from collections.abc import Callable

from distill.training.loggers.record import LoggedRow, Logger

MAX_QUEUED = 20_000
_MAX_ROWS = 200  # of one write


class BackgroundLogger:
    """Opens a logger with the first row, in its thread. `warn` is called at most once, with a line for people.

    After an error, and while the queue is full, rows are dropped.
    """

    def __init__(self, name: str, open_logger: Callable[[], Logger], warn: Callable[[str], None]) -> None:
        self._name, self._open, self._warn = name, open_logger, warn
        self._rows: queue.Queue[LoggedRow | None] = queue.Queue(MAX_QUEUED)
        self._warned = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, row: LoggedRow) -> None:
        """Queue a row. Never waits."""
        if self._warned.is_set():
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"logger {self._name}", daemon=True)
            self._thread.start()
        try:
            self._rows.put_nowait(row)
        except queue.Full:
            self._stop(f"it is more than {MAX_QUEUED:,} steps behind")

    def close(self, *, timeout_s: float) -> None:
        """Write the queued rows, for at most `timeout_s` seconds, and end the logger."""
        if self._thread is None:
            return
        try:
            self._rows.put_nowait(None)
        except queue.Full:
            return  # it was warned of
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._stop(f"it did not end within {timeout_s:g} s")

    def _run(self) -> None:
        try:
            logger = self._open()
            while rows := self._next_rows():
                logger.write(rows)
            logger.close()
        except BaseException as error:  # a library may even raise SystemExit
            self._stop(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def _next_rows(self) -> list[LoggedRow]:
        """The queued rows, at least one; none at the end."""
        rows: list[LoggedRow] = []
        row = self._rows.get()
        while row is not None:
            rows.append(row)
            if len(rows) == _MAX_ROWS or self._rows.empty():
                return rows
            row = self._rows.get()
        if rows:
            self._rows.put_nowait(None)
        return rows

    def _stop(self, reason: str) -> None:
        if not self._warned.is_set():
            self._warned.set()
            self._warn(f"nothing more is logged to {self._name}: {reason}; the training goes on")
