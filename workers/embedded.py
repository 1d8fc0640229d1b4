"""The embedded loop, without Celery and Redis: `python -m workers.embedded`.

Each queue has threads that claim parts from the database and run them with the same `RUN` as under Celery; the sweeper
runs in the main thread. Three enrich parts run at a time: while one waits for its last responses and another starts,
the third keeps the number of calls in flight at its limit. Without the part `gpu` of the installation, GPU parts wait.
"""

import signal
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from limbeck.shared.parts import install_command, is_installed
from store.jobs import claims, heartbeats
from workers.dispatch import RUN
from workers.runtime.context import Context, worker_name
from workers.runtime.logs import configure
from workers.sweeper import Sweeper

log = structlog.get_logger()
_IDLE_S = 0.2
_HEARTBEAT_S = 10.0
_NUM_THREADS = {"enrich": 3, "gpu": 1}


def work(context: Context, queue: str) -> None:
    """Run ready parts of a queue, one at a time, until the context shuts down."""
    last_heartbeat = float("-inf")
    while not context.shutting_down.is_set():
        try:
            if time.monotonic() - last_heartbeat > _HEARTBEAT_S:
                last_heartbeat = time.monotonic()
                with context.db.write() as tx:
                    heartbeats.record(tx, name=f"{worker_name()}:{queue}", role=queue)
            with context.db.read() as tx:
                ready = claims.ready(tx, [queue], limit=1)
            for part_id in ready:
                RUN[queue](context, part_id)
        except SQLAlchemyError as error:
            log.warning("database_unreachable", queue=queue, error=type(error).__name__)
            ready = []
        if not ready:
            context.shutting_down.wait(_IDLE_S)


def main() -> None:
    """Work until SIGTERM or SIGINT; running parts then save their state and are released."""
    configure()
    context = Context.open()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    queues = ["enrich", "gpu"] if is_installed("gpu") else ["enrich"]
    if "gpu" not in queues:
        log.warning("gpu_part_not_installed", install=install_command("gpu"))
    threads = [
        threading.Thread(target=work, args=(context, queue), name=queue)
        for queue, count in _NUM_THREADS.items()
        if queue in queues
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    log.info("embedded_worker_ready")
    Sweeper(context).run()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
