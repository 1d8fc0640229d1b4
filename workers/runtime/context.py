"""The context of a worker process: settings, database, artefacts and client pool; and the name of the process."""

import os
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

from store import migrate
from store.artefacts import Artefacts
from store.db import Database
from store.settings import Settings
from store.upkeep.startup import exit_if_misconfigured, warn_of_unknown_settings
from workers.runtime.client_pool import ClientPool


@dataclass(frozen=True)
class Context:
    """Opened once per process and passed to every part. `shutting_down` is set when the process has to stop.

    `kept`: what a part has loaded and the next part of its job in this process needs again (`workers.gpu.inputs`).
    """

    settings: Settings
    db: Database
    artefacts: Artefacts
    shutting_down: threading.Event = field(default_factory=threading.Event)
    client_pool: ClientPool = field(default_factory=ClientPool)
    kept: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def start(cls, program: str) -> "Context":
        """The context of a process that starts. Names unknown settings.

        Exits with one line if a setting is invalid, or the database does not respond or is not migrated.
        """
        with exit_if_misconfigured(program):
            context = cls.open()
            warn_of_unknown_settings(program, context.settings)
            migrate.check(context.db)
            return context

    @classmethod
    def open(cls, settings: Settings | None = None) -> "Context":
        """A context from the given settings, or from the environment."""
        settings = settings or Settings()
        return cls(settings, Database(settings.database), Artefacts(settings.artefacts))


def worker_name(pid: int | None = None) -> str:
    """`host:pid`, stored with a lease: a parent process can find the lease of its dead child by it."""
    return f"{socket.gethostname()}:{pid or os.getpid()}"
