"""The clean-up of a worker process, in a thread of its own: listing a large artefact store can take minutes.

The sweeper removes what nothing refers to (`store.upkeep.sweep`). A process that runs GPU parts, in embedded mode the
worker, also keeps the cache of its machine below the limits of the settings.
"""

import threading
import traceback

import structlog

from store.upkeep import cache_files, sweep
from workers.runtime.context import Context, worker_name

log = structlog.get_logger()
EVERY_S = 3600.0
FIRST_AFTER_S = 300.0


def start_upkeep(context: Context, *, has_files: bool = True, has_cache: bool = True) -> threading.Thread:
    """Clean up some minutes after the start and then every hour: the artefact store, the cache of this machine."""
    thread = threading.Thread(target=_run, args=(context, has_files, has_cache), name="upkeep", daemon=True)
    thread.start()
    return thread


def _run(context: Context, has_files: bool, has_cache: bool) -> None:
    wait_s = FIRST_AFTER_S
    while not context.shutting_down.wait(wait_s):
        wait_s = EVERY_S
        for work in (sweep_files,) * has_files + (sweep_cache,) * has_cache:
            try:
                work(context)
            except Exception:  # of the database or of the store: the next round tries again
                log.warning("upkeep_failed", error=traceback.format_exc(limit=4))


def sweep_files(context: Context) -> None:
    """One round over the artefact store and the database."""
    swept = sweep.sweep(context.db, context.artefacts, context.settings, worker_name())
    if swept is not None and any(vars(swept).values()):
        num_bytes = sum(one.file.size for one in swept.files)
        numbers = {name: value for name, value in vars(swept).items() if name != "files"}
        log.info("swept", files=len(swept.files), bytes=num_bytes, **numbers)


def sweep_cache(context: Context) -> None:
    """Remove old and abandoned files from the cache of this machine. What a running part may use stays."""
    settings = context.settings
    with context.db.read() as tx:
        since = cache_files.in_use_since(tx)
    unused = cache_files.find_unused(
        settings.cache,
        since=since,
        max_age_s=settings.cache_max_age_s or None,
        max_bytes=settings.cache_max_bytes or None,
    )
    removed = [one for one in unused if cache_files.delete(one)]
    if removed:
        log.info("cache_swept", files=len(removed), bytes=sum(one.size for one in removed))
