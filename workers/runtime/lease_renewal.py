"""Lease renewal of a claimed part, in a thread that also writes progress and events, so that work never waits for it.

`should_stop()` becomes true when the process shuts down, the job is stopping, the lease is lost or the part exceeds its
time limit. The thread asks the database every `STOP_POLL_S` whether the job is stopping or the lease is lost, with one
read; it writes only what there is to write, and the lease at a third of its length. After `lost`, nothing can be
published: the store rejects every write with an old lease token.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from limbeck.shared.tracing import spans
from store.errors import LeaseLost
from store.jobs import claims, events
from store.jobs.claims import Claim
from workers.runtime.context import Context

log = structlog.get_logger()
STOP_POLL_S = 0.5
_FLUSH_S = 1.0  # between two writes of progress and events
_MAX_QUEUED_EVENTS = 1_000
# At first one metrics event per second, later one per 1% of the run time, so that long jobs have a readable list.
_METRICS_INTERVAL_SHARE = 0.01

Gauges = Callable[[], Mapping[str, float]]
"""Figures of a running part for Prometheus; called when the progress is written."""


def _no_gauges() -> Mapping[str, float]:
    return {}


@dataclass
class _PhaseProgress:
    """Progress to write: of the phase that begins with it, or of the current phase."""

    begins: str | None = None
    latest: tuple[int, int, str, float | None, Gauges] | None = None


class LeaseRenewal:
    """Keeps the lease of a claim while the `with` block runs."""

    def __init__(self, context: Context, claim: Claim) -> None:
        self.claim = claim
        self.lost = False
        self.overtime = False
        self._context = context
        self._lease_s = context.settings.lease_s
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._events: deque[tuple[events.Type, str, events.Level, Mapping[str, Any]]] = deque(maxlen=_MAX_QUEUED_EVENTS)
        self._phase = spans.NO_SPAN
        self._progress: list[_PhaseProgress] = []  # not written yet
        self._started = self._renewed = time.monotonic()
        self._last_metrics = float("-inf")
        self._thread = threading.Thread(target=self._renew_until_ended, name=f"lease {claim.part_id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._phase.end()
        self._ended.set()
        self._thread.join()

    def should_stop(self) -> bool:
        """Whether the work should save its state and stop."""
        return self._stop.is_set() or self._context.shutting_down.is_set()

    def progress(
        self, done: int, total: int, unit: str, rate: float | None = None, *, gauges: Gauges = _no_gauges
    ) -> None:
        """Set the progress of the part; `rate` is in units per second. Written within a second."""
        with self._lock:
            if not self._progress:
                self._progress.append(_PhaseProgress())
            self._progress[-1].latest = (done, total, unit, rate, gauges)

    def begin(self, phase: str) -> None:
        """Begin a phase of the part (`teacher features`), which the next progress belongs to. Written now, with an
        event; within seconds if the database does not respond."""
        self._phase.end()
        self._phase = spans.begin(phase)
        with self._lock:
            self._progress.append(_PhaseProgress(begins=phase))
        self.note(f"stage: {phase}", stage=phase)
        with suppress(SQLAlchemyError, LeaseLost):  # the thread tries again, and sees a lost lease
            self.flush()

    def note(self, message: str, *, type: events.Type = "message", level: events.Level = "info", **data: Any) -> None:
        """Queue an event; written within a second."""
        with self._lock:
            self._events.append((type, message, level, data))

    def metrics(self, message: str, *, is_last: bool = False, **data: Any) -> None:
        """Queue a metrics event; one that is not the last is skipped if the one before it is too recent."""
        now = time.monotonic()
        if is_last or now - self._last_metrics >= max(1.0, (now - self._started) * _METRICS_INTERVAL_SHARE):
            self._last_metrics = now
            self.note(message, type="metrics", **data)

    def flush(self) -> None:
        """Write the queued progress and events now. Raises LeaseLost."""
        with self._flush_lock:
            with self._lock:
                progress, self._progress = self._progress, []
                queued = list(self._events)
                self._events.clear()
            if not progress and not queued:
                return
            try:
                with self._context.db.write() as tx:
                    for type, message, level, data in queued:
                        claims.note(tx, self.claim, type, message, level=level, data=data)
                    for one in progress:
                        self._write_progress(tx, one)
            except SQLAlchemyError:
                with self._lock:
                    if progress and self._progress and self._progress[0].begins is None:
                        progress[-1:] = [_PhaseProgress(progress[-1].begins, self._progress.pop(0).latest)]
                    self._progress[:0] = progress
                    self._events.extendleft(reversed(queued))
                raise

    def _write_progress(self, tx: Session, progress: _PhaseProgress) -> None:
        if progress.begins is not None:
            claims.begin(tx, self.claim, progress.begins)
        if progress.latest is not None:
            done, total, unit, rate, gauges = progress.latest
            claims.record_progress(tx, self.claim, done=done, total=total, unit=unit, rate=rate, gauges=gauges())

    def _renew_until_ended(self) -> None:
        flush_s = min(_FLUSH_S, self._lease_s / 6)
        flushed = self._started
        while not self._ended.wait(min(STOP_POLL_S, flush_s)):
            now = time.monotonic()
            if now - self._started > self._context.settings.part_limit_s:
                self.overtime = True
                self._stop.set()
            try:
                stopping = self._stop_request()  # first: a write may wait for other transactions
                if now - flushed >= flush_s:
                    flushed = now
                    self.flush()
                if now - self._renewed >= self._lease_s / 3 and stopping not in claims.STOPPED_FOR_GOOD:
                    self._renew()
            except LeaseLost:
                self._give_up("another worker has the part, or it has ended")
                return
            except SQLAlchemyError as error:
                log.warning("database_unreachable", part=self.claim.part_id, error=type(error).__name__)
                if time.monotonic() - self._renewed > self._lease_s:
                    self._give_up("the database could not be reached for the length of a lease")
                    return

    def _stop_request(self) -> str | None:
        with self._context.db.read() as tx:
            stopping = claims.stop_request(tx, self.claim)
        if stopping is not None:
            self._stop.set()
        return stopping

    def _renew(self) -> None:
        now = time.monotonic()
        with self._context.db.write() as tx:
            renewed = claims.renew(tx, self.claim, lease_s=self._lease_s)
        self._renewed = now
        if not renewed:
            self._stop.set()

    def _give_up(self, reason: str) -> None:
        log.warning("lease_lost", part=self.claim.part_id, reason=reason)
        self.lost = True
        self._stop.set()
