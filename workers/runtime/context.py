"""What every worker process opens once: settings, database, artefacts; and how it is called in the rows it holds."""

import os
import socket
import threading
from dataclasses import dataclass, field

from store.artefacts import Artefacts
from store.db import Database
from store.settings import Settings
from workers.runtime.client_pool import Exchange


@dataclass(frozen=True)
class Context:
    """Handed to whatever runs a part. `shutting_down` is set once, when the process is asked to end."""

    settings: Settings
    db: Database
    artefacts: Artefacts
    shutting_down: threading.Event = field(default_factory=threading.Event)
    exchange: Exchange = field(default_factory=Exchange)

    @classmethod
    def open(cls, settings: Settings | None = None) -> "Context":
        """A context from the environment."""
        settings = settings or Settings()
        return cls(settings, Database(settings.database), Artefacts(settings.artefacts))


def worker_name(pid: int | None = None) -> str:
    """`host:pid`: a parent can tell which lease its dead child held."""
    return f"{socket.gethostname()}:{pid or os.getpid()}"
