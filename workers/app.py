"""The Celery app: `celery -A workers.app worker -Q enrich -c 4`, and `-Q gpu -c 1` beside each GPU.

A message carries a part's id and means "look": nothing is kept in results, nothing is acknowledged late (Redis gives a
message out again after an hour, and training takes longer), nothing is prefetched behind a long training.
"""

import os
import threading
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from store.jobs import heartbeats
from store.logs import configure
from workers.runtime.context import Context, worker_name

log = structlog.get_logger()
_BEAT_S = 10.0
context = Context.open()

app = Celery("limbeck", broker=context.settings.redis_url.get_secret_value() or None, include=["workers.tasks"])
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    task_create_missing_queues=True,
    worker_disable_prefetch=True,
    worker_prefetch_multiplier=1,
    worker_pool="threads",  # one process: when it dies, its children see it; training has a process of its own anyway
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"socket_connect_timeout": 2, "socket_timeout": 30},
)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _logs(**_: Any) -> None:
    configure()


@worker_ready.connect  # type: ignore[untyped-decorator]
def _ready(sender: Any, **_: Any) -> None:
    roles = [role for role in ("enrich", "gpu") if role in sender.app.amqp.queues.consume_from]

    def beat() -> None:
        while not context.shutting_down.is_set():
            try:
                with context.db.write() as tx:
                    for role in roles:
                        heartbeats.beat(tx, name=f"{worker_name()}:{role}", role=role)
            except Exception as error:
                log.warning("beat_failed", error=type(error).__name__)
            context.shutting_down.wait(_BEAT_S)

    threading.Thread(target=beat, daemon=True).start()
    log.info("worker_ready", pid=os.getpid(), roles=roles)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _ending(**_: Any) -> None:
    """What runs saves its state and gives its part back; the worker's own warm shutdown then has little to wait for."""
    context.shutting_down.set()
