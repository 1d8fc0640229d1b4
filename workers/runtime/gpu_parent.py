"""The parent of a GPU child: waits for it, ends it if it does not end by itself, and records how its part ended.

A part is taken from the child only after its process has ended, or cannot be killed, so that two processes do not use
one GPU, and none holds a lock of the database. Should the parent die in between, the lease expires and the sweeper
requeues the part.
"""

import signal
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from limbeck.shared.text import counted
from store.jobs import running
from store.jobs.running import WatchedPart
from store.lifecycle import transitions
from workers.runtime.attempt_traces import NOT_AVAILABLE, remove_scratch
from workers.runtime.child_process import ChildProcess
from workers.runtime.context import Context, worker_name
from workers.runtime.watchdog import Verdict, Watchdog

log = structlog.get_logger()
_POLL_S = 0.5
_SHUTDOWN_GRACE_S = 30.0
_WRITE_RETRY_S = 1.0


def run_child(context: Context, part_id: str, *, program: str = "workers.child") -> bool:
    """Run a part, and the later parts of its job, in a child process; returns when it has ended or cannot be killed.

    `program`: the module that the process runs. The result is False if the part was not available.
    """
    child = ChildProcess(part_id, program)
    try:
        _wait(context, child)
    finally:
        child.close()
    return child.code != NOT_AVAILABLE


def _wait(context: Context, child: ChildProcess) -> None:
    settings = context.settings
    watchdog = Watchdog(time.monotonic(), stall_limit_s=settings.stall_limit_s, part_limit_s=settings.part_limit_s)
    part: WatchedPart | None = None
    while not child.wait(_POLL_S):
        if context.shutting_down.is_set():
            child.end(_SHUTDOWN_GRACE_S)
            break
        try:
            part = _part_of(context, child)
        except SQLAlchemyError as error:
            log.warning("database_unreachable", pid=child.pid, error=type(error).__name__)
            watchdog.could_not_look(time.monotonic())
            continue
        if (verdict := watchdog.look(part, time.monotonic())) is not None:
            _end(context, child, part, verdict)
            return
    child.kill_rest()
    if child.code not in (0, NOT_AVAILABLE):
        log.warning("child_died", pid=child.pid, code=child.code)
        _record_loss(context, child, code="worker_lost", what=_death(child.code))
        if part is not None:
            remove_scratch(settings.cache, part.token)


def _part_of(context: Context, child: ChildProcess) -> WatchedPart | None:
    with context.db.read() as tx:
        return running.of_worker(tx, worker_name(child.pid))


def _end(context: Context, child: ChildProcess, part: WatchedPart | None, verdict: Verdict) -> None:
    """End the process for a reason, and record it in the rows of the part."""
    place = part.place if part else ""
    log.warning("child_ended_by_parent", pid=child.pid, reason=verdict.reason, place=place)
    what = _fault(context, child, place, verdict)
    child.end(verdict.grace_s)
    if part is not None:
        code = verdict.reason if verdict.reason in ("stalled", "time_limit") else "worker_lost"
        _record_loss(context, child, code=code, what=what, try_again=verdict.reason != "time_limit")
        remove_scratch(context.settings.cache, part.token)


def _fault(context: Context, child: ChildProcess, place: str, verdict: Verdict) -> str:
    """Why the process is ended, for the error of its part."""
    if verdict.reason == "stalled":
        stack = child.stands_at()
        limit = counted(round(context.settings.stall_limit_s), "second")
        return f"no progress for {limit} at {place}" + (f" ({stack})" if stack else "")
    if verdict.reason == "time_limit":
        return f"ran longer than {context.settings.part_limit_s:.0f} s, and did not stop at {place}"
    return "its process did not stop"


def _record_loss(context: Context, child: ChildProcess, *, code: str, what: str, try_again: bool = True) -> None:
    """Requeue or end the part that the process still holds; retries while the database is unreachable."""
    give_up_at = time.monotonic() + context.settings.lease_s
    while time.monotonic() < give_up_at:
        try:
            if (part := _part_of(context, child)) is None:
                return
            at = f" at {part.place}" if code == "worker_lost" else ""
            with context.db.write() as tx:
                transitions.lose(
                    tx,
                    part.part_id,
                    part.token,
                    code=code,
                    message=f"{what}{at}",
                    max_attempts=context.settings.max_attempts if try_again else 0,
                )
        except SQLAlchemyError as error:
            log.warning("database_unreachable", pid=child.pid, error=type(error).__name__)
            time.sleep(_WRITE_RETRY_S)
            continue
        return


def _death(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "its process cannot be ended"
    if code >= 0:
        return f"its process ended with code {code}"
    name = next((one.name for one in signal.Signals if one == -code), f"signal {-code}")
    hint = " (often for lack of memory)" if -code == signal.SIGKILL else ""
    return f"its process was ended by {name}{hint}"
