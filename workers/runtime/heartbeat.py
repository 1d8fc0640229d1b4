"""Heartbeats of a worker process, from a thread of their own: a part can run for hours, and its worker is alive.

They are rows of the database, which `/readyz` counts, and the file LIMBECK_ALIVE_FILE, for the health check of the
container. The file is touched also while the database is away: a new container would not bring it back.
"""

import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from store.jobs import heartbeats
from workers.runtime.context import Context, worker_name
from workers.runtime.gpus import count_gpus

log = structlog.get_logger()
INTERVAL_S = 10.0


def start_heartbeats(context: Context, roles: Sequence[str]) -> threading.Thread:
    """Record that this process serves the queues `roles`, at once and every `INTERVAL_S`, until it shuts down."""
    thread = threading.Thread(target=_beat, args=(context, roles), name="heartbeats", daemon=True)
    thread.start()
    return thread


def _beat(context: Context, roles: Sequence[str]) -> None:
    num_gpus = count_gpus() if "gpu" in roles else 0
    while not context.shutting_down.is_set():
        try:
            with context.db.write() as tx:
                for role in roles:
                    of_role = num_gpus if role == "gpu" else 0
                    heartbeats.record(tx, name=f"{worker_name()}:{role}", role=role, num_gpus=of_role)
        except Exception as error:
            log.warning("heartbeat_failed", error=type(error).__name__)
        touch(context.settings.alive_file)
        context.shutting_down.wait(INTERVAL_S)


def touch(file: Path | None) -> None:
    """Set the time of the file LIMBECK_ALIVE_FILE to now; create it if it is missing."""
    if file is not None:
        try:
            file.touch()
        except OSError as error:
            log.warning("alive_file_failed", file=str(file), error=error.strerror)
