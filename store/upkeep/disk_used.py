"""The disk that the service uses, by kind: a scan of the artefact store and the cache, kept for some minutes."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select, text

from store.artefacts import Artefacts
from store.db import Database
from store.jobs.feature_chunks import PREFIX as FEATURES
from store.models import (
    Blob,
    CaptionSet,
    Checkpoint,
    CheckpointFile,
    Dataset,
    EpochFile,
    FeatureChunk,
    RepairRound,
    SetReport,
    Teacher,
    TextTargets,
)
from store.settings import Settings
from store.upkeep.unused_artefacts import DATASETS, IMPORTS, PARTS

KEEP_S = 300.0
_KINDS = {
    "students": (Blob.file_key, CheckpointFile.file_key, Checkpoint.samples_key),
    "epoch_checkpoints": (EpochFile.file_key,),
    "text_targets": (TextTargets.file_key,),
    "caption_sets": (CaptionSet.file_key,),
    "datasets": (Dataset.manifest_key, Dataset.report_key, Dataset.contents_key),
    "reports": (SetReport.file_key, RepairRound.file_key),
    "teachers": (Teacher.tokenizer_key,),
    "teacher_features": (FeatureChunk.file_key,),
}


@dataclass(frozen=True)
class KindOfFile:
    """What files of one kind use; `size` in bytes."""

    kind: str
    number: int
    size: int


@dataclass(frozen=True)
class DiskUsed:
    """The use of disk by kind, as it was at `scanned_at` (seconds since 1970)."""

    scanned_at: float
    kinds: tuple[KindOfFile, ...]


class DiskScan:
    """The last scan. A scan can take minutes for a large store: only one runs at a time."""

    def __init__(self, db: Database, artefacts: Artefacts, settings: Settings) -> None:
        self._db, self._artefacts, self._settings = db, artefacts, settings
        self._lock = threading.Lock()
        self._last: DiskUsed | None = None

    @property
    def last(self) -> DiskUsed | None:
        """The last scan, also an old one."""
        return self._last

    @property
    def _is_old(self) -> bool:
        return self._last is None or time.time() - self._last.scanned_at > KEEP_S

    def begin(self) -> None:
        """Begin a scan in the background if the last one is older than `KEEP_S` and none is running."""
        if self._is_old and not self._lock.locked():
            threading.Thread(target=self._try, daemon=True).start()

    def _try(self) -> None:
        try:
            self.used()
        except Exception:  # the store or the database does not respond: the last scan is kept
            return

    def used(self) -> DiskUsed:
        """The last scan if it is younger than `KEEP_S`, else a new one. Raises OSError."""
        with self._lock:
            if self._is_old or self._last is None:
                sizes: dict[str, list[int]] = {}
                for kind, size in self._files():
                    sizes.setdefault(kind, []).append(size)
                kinds = tuple(KindOfFile(kind, len(each), sum(each)) for kind, each in sorted(sizes.items()))
                self._last = DiskUsed(time.time(), kinds)
            return self._last

    def _files(self) -> Iterator[tuple[str, int]]:
        """(kind, bytes) of every file."""
        listed = [
            file for prefix in (PARTS, FEATURES, DATASETS, IMPORTS) for file in self._artefacts.list_below(prefix)
        ]
        with self._db.read() as tx:
            kinds = {
                key: kind
                for kind, columns in _KINDS.items()
                for column in columns
                for key in tx.scalars(select(column))
            }
            size = tx.scalar(select(func.pg_database_size(func.current_database()))) if not self._db.is_sqlite else None
            if size is None:
                size = tx.scalar(text("select page_count * page_size from pragma_page_count(), pragma_page_size()"))
        for file in listed:
            other = (
                "training_states" if "/state/" in file.key else "imports" if file.key.startswith(IMPORTS) else "other"
            )
            yield kinds.get(file.key, other), file.size
        for parent, _, names in os.walk(self._settings.cache):
            for name in names:
                path = Path(parent, name)
                yield "cache", path.lstat().st_size if os.path.lexists(path) else 0
        yield "database", int(size or 0)
