"""The embedded loop, without Celery and Redis: `python -m workers.embedded`.

Each queue has threads that claim parts from the database and run them with the same `RUN` as under Celery; the sweeper
runs in the main thread. Three enrich parts run at a time: while one waits for its last responses and another starts,
the third keeps the number of calls in flight at its limit. A queue whose dependencies are not installed is not served.
"""

import signal
import threading
import traceback

from limbeck.shared.parts import Part, exit_if_part_is_missing, install_command, is_installed
from limbeck.shared.tracing import spans

with exit_if_part_is_missing("python -m workers.embedded"):
    import structlog
    from sqlalchemy.exc import SQLAlchemyError

    from distill.data.files.regular_files import confine_to
    from store.jobs import claims
    from store.uploads import places
    from workers.dispatch import RUN
    from workers.runtime.context import Context
    from workers.runtime.gpus import count_gpus
    from workers.runtime.heartbeat import start_heartbeats
    from workers.runtime.logs import configure
    from workers.sweeper import Sweeper
    from workers.upkeep import start_upkeep

log = structlog.get_logger()
_IDLE_S = 0.2
_NUM_THREADS = {"enrich": 3, "gpu": 1}


def work(context: Context, queue: str) -> None:
    """Run ready parts of a queue, one at a time, until the context shuts down."""
    num_gpus = count_gpus() if queue == "gpu" else 0
    while not context.shutting_down.is_set():
        try:
            with context.db.read() as tx:
                ready = claims.ready(tx, [queue], limit=1, num_gpus=num_gpus)
            for part_id in ready:
                RUN[queue](context, part_id)
        except SQLAlchemyError as error:
            log.warning("database_unreachable", queue=queue, error=type(error).__name__)
            ready = []
        except Exception:
            # The lease of the part expires and the part is tried again; without this thread all others would wait.
            log.error("worker_error", queue=queue, error=traceback.format_exc(limit=12))
            ready = []
        if not ready:
            context.shutting_down.wait(_IDLE_S)


def installed_queues() -> list[str]:
    """The queues whose dependencies are installed; the others are logged, and their parts wait."""
    parts: dict[str, Part] = {"enrich": "service", "gpu": "gpu"}
    missing = {queue: part for queue, part in parts.items() if not is_installed(part)}
    for queue, part in missing.items():
        log.warning("part_not_installed", part=part, queue=queue, install=install_command(part))
    return [queue for queue in parts if queue not in missing]


def main() -> None:
    """Work until SIGTERM or SIGINT; running parts then save their state and are released."""
    context = Context.start("python -m workers.embedded")
    confine_to(*places.roots(context.settings))
    configure(context.settings)
    spans.start("limbeck-worker")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    queues = installed_queues()
    threads = [
        threading.Thread(target=work, args=(context, queue), name=queue)
        for queue in queues
        for _ in range(_NUM_THREADS[queue])
    ]
    start_heartbeats(context, queues)
    start_upkeep(context)
    for thread in threads:
        thread.start()
    log.info("embedded_worker_ready")
    Sweeper(context).run()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
