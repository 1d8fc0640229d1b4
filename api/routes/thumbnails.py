"""Thumbnails of the images of datasets, made when they are first asked for and kept in the cache of this machine."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.http.dependencies import ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import MAX_INT32
from api.readers.index_rows import IndexRows
from api.readers.thumbnail_files import thumbnail
from distill.data.atomic_files import mark_used, write_bytes
from distill.data.image_files.location import file_stamp
from store import resources
from store.uploads.places import root_of_dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])
_MAX_WAITING = 24
"""Thumbnails that are made or wait at a time: each takes one of the 40 threads of the API."""
_waiting = threading.BoundedSemaphore(_MAX_WAITING)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The thumbnail",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    },
    304: {"description": "If-None-Match names the thumbnail's ETag"},
}
Size = Annotated[int, Query(ge=32, le=512, multiple_of=32, description="Longer side in px; images are never enlarged.")]


@router.get("/{id}/images/{row}/thumbnail", response_class=Response, responses=_RESPONSES)
def get(request: Request, services: ServicesDep, id: str, row: int, size: Size = 160) -> Response:
    """The image at a position of the dataset's index, from 0, as a small JPEG.

    It shows the file as it is now. Transparent parts are white, and the metadata of the file is left out.
    """
    from limbeck.shared.images.decode import DECODER  # imported late: it loads numpy

    with services.db.read() as tx:
        dataset = resources.dataset(tx, id)
    rows: IndexRows = request.app.state.index_rows
    item = rows.row(dataset.manifest_key, row) if 0 <= row <= MAX_INT32 else None
    if item is None:
        raise ProblemError(404, "image_not_found", f"dataset {id} has no image {row}")
    root = root_of_dataset(services.settings, dataset).resolve()
    file = root / dataset.path / item.path
    # Without a stamp the file was changed a moment ago, or is missing: its thumbnail is not kept.
    stamp = file_stamp(file)
    if stamp is None:
        return _response(_made(root, file, size), etag=None)
    name = hashlib.sha256(stamp + f"{size} {DECODER}".encode()).hexdigest()
    etag = f'"{name[:32]}"'
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=_headers(etag))
    kept = services.settings.cache / "thumbnails" / name[:2] / f"{name}.jpg"
    try:
        jpeg = kept.read_bytes()
        mark_used(kept)
    except OSError:
        jpeg = _made(root, file, size)
        with contextlib.suppress(OSError):  # a full disk costs only time
            write_bytes(kept, jpeg)
    return _response(jpeg, etag)


def _made(root: Path, file: Path, size: int) -> bytes:
    with _place():
        return thumbnail(root, file, size)


@contextlib.contextmanager
def _place() -> Iterator[None]:
    if not _waiting.acquire(blocking=False):
        detail = f"{_MAX_WAITING} other thumbnails are made or wait: try again in a moment"
        raise ProblemError(503, "too_many_thumbnails", detail, headers={"Retry-After": "2"})
    try:
        yield
    finally:
        _waiting.release()


def _response(jpeg: bytes, etag: str | None) -> Response:
    return Response(jpeg, headers=_headers(etag), media_type="image/jpeg")


def _headers(etag: str | None) -> dict[str, str]:
    # The permission to read a dataset can change, so that only the browser keeps its images, and asks each time.
    return {"Cache-Control": "private, no-cache", **({"ETag": etag} if etag else {})}
