"""Removes uploads that were not completed, and folders that no upload owns."""

import time
from pathlib import Path

from sqlalchemy import delete, select

from store.db import Database
from store.models import Upload
from store.settings import Settings
from store.uploads.places import UploadPlace
from store.uploads.uploads import RECEIVING

GRACE_S = 3600.0
"""How old a folder without a row must be: its row is stored after the folder was made."""
_BATCH = 100


def delete_expired(db: Database, settings: Settings, *, grace_s: float = GRACE_S) -> int:
    """Delete uploads without a new byte for `LIMBECK_KEEP_UPLOADS_S`, and abandoned folders; returns their number."""
    root = settings.upload_root
    if root is None or not root.is_dir():
        return 0
    total, ids = 0, ["…"]
    while ids:
        with db.write() as tx:
            old = select(Upload.id).where(
                Upload.status == RECEIVING, Upload.updated_at < time.time() - settings.keep_uploads_s
            )
            ids = list(tx.scalars(delete(Upload).where(Upload.id.in_(old.limit(_BATCH))).returning(Upload.id)))
        for id in ids:
            UploadPlace(root / id).remove()
        total += len(ids)
    abandoned = _abandoned(db, root, grace_s)
    for folder in abandoned:
        UploadPlace(folder).remove()
    return total + len(abandoned)


def _abandoned(db: Database, root: Path, grace_s: float) -> list[Path]:
    """Folders of uploads without a row. They are listed before the rows are read.

    If the database knows none of the folders, it can be another one than that of the uploads: images then stay.
    """
    before = time.time() - grace_s
    folders = [path for path in root.glob("upl_*") if path.is_dir()]
    old = [path for path in folders if path.stat().st_mtime < before]
    with db.read() as tx:
        known = set(tx.scalars(select(Upload.id)))
    is_ours = any(path.name in known for path in folders)
    return [path for path in old if path.name not in known and (is_ours or not UploadPlace(path).has_bytes)]
