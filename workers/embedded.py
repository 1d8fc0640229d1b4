"""The embedded loop: `python -m workers.embedded` claims rows itself, with neither Celery nor Redis.

Threads for each queue, and the sweeper in the main thread: the same `RUN` as under Celery. Three parts are asked for at
a time: while one waits for its last answers and another is begun, the third keeps all the calls in flight that there
may be.
"""

import signal
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store.jobs import claims, heartbeats
from store.logs import configure
from workers.dispatch import RUN
from workers.runtime.context import Context, worker_name
from workers.sweeper import Sweeper

log = structlog.get_logger()
_IDLE_S = 0.2
_BEAT_S = 10.0
_THREADS = {"enrich": 3, "gpu": 1}


def work(context: Context, queue: str) -> None:
    """Run ready parts of a queue, one at a time, until the context shuts down."""
    beaten = float("-inf")
    while not context.shutting_down.is_set():
        try:
            if time.monotonic() - beaten > _BEAT_S:
                beaten = time.monotonic()
                with context.db.write() as tx:
                    heartbeats.beat(tx, name=f"{worker_name()}:{queue}", role=queue)
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
    """Work until asked to end; what runs then is saved and given back."""
    configure()
    context = Context.open()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    threads = [
        threading.Thread(target=work, args=(context, queue), name=queue)
        for queue, count in _THREADS.items()
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
