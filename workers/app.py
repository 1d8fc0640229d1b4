"""The Celery app: `celery -A workers.app worker -Q enrich -c 4`, and `-Q gpu -c 1` for each GPU.

A message holds only the id of a part; the worker then tries to claim the part. Celery stores no results. Messages are
acknowledged early, because Redis delivers an unacknowledged message again after an hour and training takes longer.
Nothing is prefetched, because it would wait behind a long training.
"""

import os
import sys
import traceback
from typing import Any

import structlog
from celery import Celery
from celery.signals import celeryd_after_setup, setup_logging, worker_ready, worker_shutting_down

from distill.data.files.regular_files import confine_to
from limbeck.shared.parts import exit_if_logger_not_installed, exit_if_not_installed
from limbeck.shared.tracing import spans
from store import migrate
from store.upkeep.startup import exit_if_misconfigured, warn_of_unknown_settings
from store.uploads import places
from workers.runtime.context import Context
from workers.runtime.heartbeat import start_heartbeats
from workers.runtime.logs import configure
from workers.upkeep import start_upkeep

log = structlog.get_logger()
with exit_if_misconfigured("workers.app"):
    context = Context.open()

app = Celery("limbeck", broker=context.settings.broker or None, include=["workers.tasks"])
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    task_create_missing_queues=True,
    worker_disable_prefetch=True,
    worker_prefetch_multiplier=1,
    worker_pool="threads",  # one process, so that GPU children notice its death; training runs in a child
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"socket_connect_timeout": 2, "socket_timeout": 30},
)


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logs(**_: object) -> None:
    configure(context.settings)
    spans.start("limbeck-worker")


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _check_installation(instance: Any, **_: object) -> None:
    """Refuse to take parts that this installation cannot run. Celery ignores exceptions of signals, but not an exit."""
    try:
        _exit_if_unusable(instance)
    except Exception:
        sys.exit(f"celery worker: cannot start\n{traceback.format_exc()}")


def _exit_if_unusable(instance: Any) -> None:
    with exit_if_misconfigured("celery worker"):
        warn_of_unknown_settings("celery worker", context.settings)
        migrate.check(context.db)
    confine_to(*places.roots(context.settings))
    queues = instance.app.amqp.queues.consume_from
    if "enrich" in queues:
        exit_if_not_installed("service", "celery worker -Q enrich")
        from workers.enrich.llm_settings import exit_if_unusable  # imported late: a GPU worker has no LLM

        exit_if_unusable(context.settings, "celery worker -Q enrich")
    if "gpu" in queues:
        exit_if_not_installed("gpu", "celery worker -Q gpu")
        exit_if_logger_not_installed(context.settings.loggers, "celery worker -Q gpu")


@worker_ready.connect  # type: ignore[untyped-decorator]
def _start_heartbeats(sender: Any, **_: object) -> None:
    roles = [role for role in ("enrich", "gpu") if role in sender.app.amqp.queues.consume_from]
    start_heartbeats(context, roles)
    if "gpu" in roles:
        start_upkeep(context, has_files=False)
    log.info("worker_ready", pid=os.getpid(), roles=roles)


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _shut_down(**_: object) -> None:
    """Running parts save their state and release their claims, so that the warm shutdown of Celery is short."""
    context.shutting_down.set()
