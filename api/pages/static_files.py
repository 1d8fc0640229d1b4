"""Style sheets and scripts of the pages: `/static/DIGEST/NAME`, which browsers keep for ever.

The digest is of all files together, because modules import one another by relative addresses.
"""

import hashlib
from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

from api.http.problems import ProblemError

router = APIRouter(include_in_schema=False)
PREFIX = "/static/"
_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@cache
def _contents() -> dict[str, bytes]:
    folder = files("api.pages") / "static"
    return {
        entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in _MEDIA_TYPES
    }


@cache
def _digest() -> str:
    contents = _contents()
    return hashlib.sha256(b"".join(name.encode() + contents[name] for name in sorted(contents))).hexdigest()[:16]


def static_url(name: str) -> str:
    """The address of a file of `static/`. Raises KeyError if there is none, so that a wrong name fails in a test."""
    _contents()[name]
    return f"{PREFIX}{_digest()}/{name}"


@router.get(PREFIX + "{digest}/{name}")
async def static_file(digest: str, name: str) -> Response:
    """A file of `static/`; a request with the digest of another version gets the current file, which is not kept."""
    content = _contents().get(name)
    if content is None:
        raise ProblemError(404, "not_found", f"there is no file {name!r} here")
    lifetime = "public, max-age=31536000, immutable" if digest == _digest() else "no-store"
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    return Response(content, media_type=f"{media_type}; charset=utf-8", headers={"Cache-Control": lifetime})
