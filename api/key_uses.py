"""The time of the last use of each key, written in the background at most once a minute."""

import asyncio
import contextlib
import time

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from store.access import api_keys
from store.db import Database

_EVERY_S = 60.0


class KeyUses:
    """`note()` does not wait: on SQLite a write waits for other writers, and a read must not."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._noted: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def note(self, key_id: str) -> None:
        """The key is used now."""
        now = time.monotonic()
        if now - self._noted.get(key_id, float("-inf")) < _EVERY_S:
            return
        self._noted[key_id] = now
        task = asyncio.get_running_loop().create_task(self._write(key_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for the writes that have begun."""
        await asyncio.gather(*self._tasks)

    async def _write(self, key_id: str) -> None:
        with contextlib.suppress(SQLAlchemyError):  # the next use writes it again, a minute later
            await anyio.to_thread.run_sync(self._write_now, key_id)

    def _write_now(self, key_id: str) -> None:
        with self._db.write() as tx:
            api_keys.note_use(tx, key_id, at=time.time(), every_s=_EVERY_S)
