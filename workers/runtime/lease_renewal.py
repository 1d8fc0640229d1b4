"""Keeping a claimed part: a thread renews the lease and writes progress and events, so that work never waits for rows.

`should_stop()` turns true when the process is asked to end, the job is stopping, the lease is lost or the part has run
too long. After `lost` nothing may be published: the store would refuse it anyway, for every write carries the token.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store.errors import LeaseLost
from store.jobs import claims, events
from store.jobs.claims import Claim
from workers.runtime.context import Context

log = structlog.get_logger()
_MAX_NOTES = 1_000
# Metrics come fast at first and then at one in a hundred of the time run, so that a week's job has a readable list.
_METRICS_SHARE = 0.01


class Keeper:
    """Holds a claim for as long as the `with` block runs."""

    def __init__(self, context: Context, claim: Claim) -> None:
        self.claim = claim
        self.lost = False
        self.overtime = False
        self._context = context
        self._lease_s = context.settings.lease_s
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._notes: deque[tuple[events.Type, str, events.Level, Mapping[str, Any]]] = deque(maxlen=_MAX_NOTES)
        self._progress: tuple[int, int, str, float | None] | None = None
        self._started = self._renewed = time.monotonic()
        self._last_metrics = float("-inf")
        self._thread = threading.Thread(target=self._keep, name=f"lease {claim.part_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def should_stop(self) -> bool:
        """Whether the work should save what it has and end."""
        return self._stop.is_set() or self._context.shutting_down.is_set()

    def progress(self, done: int, total: int, unit: str, rate: float | None = None) -> None:
        """Set how far the part is; written within a second."""
        with self._lock:
            self._progress = (done, total, unit, rate)

    def note(self, message: str, *, type: events.Type = "message", level: events.Level = "info", **data: Any) -> None:
        """Queue an event; written within a second."""
        with self._lock:
            self._notes.append((type, message, level, data))

    def metrics(self, message: str, **data: Any) -> None:
        """Queue a metrics event, unless the last one was a moment ago for a part of this age."""
        now = time.monotonic()
        if now - self._last_metrics >= max(1.0, (now - self._started) * _METRICS_SHARE):
            self._last_metrics = now
            self.note(message, type="metrics", **data)

    def flush(self) -> None:
        """Write what is queued, now. Raises `LeaseLost`."""
        with self._flushing:
            with self._lock:
                progress, self._progress = self._progress, None
                notes = list(self._notes)
                self._notes.clear()
            if progress is None and not notes:
                return
            try:
                with self._context.db.write() as tx:
                    for type, message, level, data in notes:
                        claims.note(tx, self.claim, type, message, level=level, data=data)
                    if progress:
                        done, total, unit, rate = progress
                        claims.record_progress(tx, self.claim, done=done, total=total, unit=unit, rate=rate)
            except SQLAlchemyError:
                with self._lock:
                    self._progress = self._progress or progress
                    self._notes.extendleft(reversed(notes))
                raise

    def _keep(self) -> None:
        pause_s = min(1.0, self._lease_s / 6)
        while not self._ended.wait(pause_s):
            now = time.monotonic()
            if now - self._started > self._context.settings.part_limit_s:
                self.overtime = True
                self._stop.set()
            try:
                self.flush()
                if now - self._renewed >= self._lease_s / 3 or self._stop.is_set():
                    self._renew()
            except LeaseLost:
                self._lose("another worker has the part, or it has ended")
                return
            except SQLAlchemyError as error:
                log.warning("database_unreachable", part=self.claim.part_id, error=type(error).__name__)
                if time.monotonic() - self._renewed > self._lease_s:
                    self._lose("the database could not be reached for the length of a lease")
                    return

    def _renew(self) -> None:
        began = time.monotonic()
        with self._context.db.write() as tx:
            go_on = claims.renew(tx, self.claim, lease_s=self._lease_s)
        if go_on:
            self._renewed = began
        else:
            self._stop.set()

    def _lose(self, why: str) -> None:
        log.warning("lease_lost", part=self.claim.part_id, why=why)
        self.lost = True
        self._stop.set()
