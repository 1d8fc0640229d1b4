"""Uploads: images that a client sends in pieces into the operator's upload root, and that datasets can name.

The files of an upload are one stream of bytes: one file after the other, in the order of its list. A client sends the
stream from the offset that the service has (docs/decisions/0039-uploads-are-one-stream.md).
"""

import asyncio
import base64
import binascii
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, Body, Header, Query, Request
from pydantic import ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from typing_extensions import TypedDict

from api.http import deletions
from api.http.dependencies import Idempotency, IdempotencyDep, OwnerFilter, Reused, Services, ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import ProblemError, StorableRequestModel, invalid_parameter, unprocessable
from api.http.schemas import ONE_FAULT, OWNER, After, Limit, Name, Page, ResponseModel, Timestamp, page
from api.readers.folder_locks import FolderLocks, TooManyHolders
from api.uploads import sealing
from api.uploads.content import StreamWriter, disk_problem
from api.uploads.listing import Listings, StreamListing
from api.uploads.locks import locked
from api.uploads.names import MAX_PATH_CHARS, first_fault
from limbeck.shared.text import counted
from store import resources
from store.access.principals import Principal
from store.ids import new_id
from store.models import Upload
from store.settings import Settings
from store.uploads import uploads
from store.uploads.places import UploadPlace, place_of, root_of

router = APIRouter(prefix="/v1/uploads", tags=["uploads"], route_class=LargeJSONRoute)
_MAX_FILES = 1_000_000
_MAX_FILE_BYTES = 2**50
_MAX_SEALED = 8
"""Uploads that are completed or wait for it at a time: each takes one of the 40 threads of the API."""
_BLOCK_BYTES = 1 << 20
_IDLE_S = 60.0
_being_sealed = FolderLocks(_MAX_SEALED)
_writers = CapacityLimiter(8)
"""Threads that write bytes: of their own, so that they do not wait for the checks of datasets."""
_listings = Listings()
_DIGEST = re.compile(r"(?:^|,)\s*sha-256\s*=\s*:([A-Za-z0-9+/=]*):\s*(?=,|$)")
_SHA256_BYTES = 32

ResultT = TypeVar("ResultT")


class UploadFileIn(TypedDict):
    """A file of an upload."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    path: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_PATH_CHARS,
            description="Relative to the folder, with /. No `..`, no backslash, no NUL.",
            examples=["crane/0001.jpg"],
        ),
    ]
    size: Annotated[int, Field(ge=0, le=_MAX_FILE_BYTES, description="Bytes.", examples=[48213])]
    modified: NotRequired[
        Annotated[
            int,
            Field(
                ge=0,
                le=2**53,
                description="When it was last changed, in milliseconds since 1970: with a changed file, an upload is "
                "not continued.",
            ),
        ]
    ]


class UploadIn(StorableRequestModel):
    """The list of files that will be sent."""

    name: Name = Field(description="Name of the upload, such as that of the folder.", examples=["birds"])
    kind: Literal["folder", "archive"] = Field(
        "folder", description="`archive`: one file, a .zip, .tar or .tar.gz, that is unpacked when it is complete."
    )
    files: Annotated[list[UploadFileIn], ONE_FAULT] = Field(
        min_length=1, max_length=_MAX_FILES, description="The files, in the order in which their bytes are sent."
    )


class CompletionIn(StorableRequestModel):
    """The end of an upload."""

    sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="Digest of all bytes of the stream, which is compared.",
    )


class UploadOut(ResponseModel):
    """Files of a client in the upload root."""

    object: Literal["upload"] = "upload"
    id: str
    name: str
    kind: Literal["folder", "archive"]
    status: Literal["receiving", "complete"] = Field(description="Datasets can name an upload that is `complete`.")
    num_files: int = Field(description="Files of the list; of a complete archive, the unpacked ones.")
    size: int = Field(description="Bytes of the stream.")
    received: int = Field(description="Bytes of the stream that the service has: the `Upload-Offset` to go on with.")
    reserved: int = Field(description="What it counts against the quota; a file counts as at least 4,096 bytes.")
    path: str = Field(description="Folder in the upload that a dataset uses if it gives no path.")
    max_chunk_bytes: int = Field(description="Largest body of a PATCH.")
    expires_at: Timestamp | None = Field(description="When it is removed unless bytes arrive; null if it is complete.")
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp
    updated_at: Timestamp = Field(description="When the last bytes arrived.")
    completed_at: Timestamp | None


class CreatedUploadOut(UploadOut):
    """An upload that was posted."""

    reused: bool = Field(
        description="Whether an upload of the same name and files was not complete: this is that one, to go on with."
    )


_EXAMPLES: list[dict[str, Any]] = [
    {"name": "birds", "files": [{"path": "crane/0001.jpg", "size": 48213}, {"path": "heron/0001.jpg", "size": 51377}]},
    {"name": "birds", "kind": "archive", "files": [{"path": "birds.zip", "size": 103884211}]},
]
_OFFSET = {"description": "Bytes that the service has", "schema": {"type": "integer"}}
_CONTENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_OFF: dict[int | str, dict[str, Any]] = {409: {"description": "Uploads are off (`uploads_off`)"}}
_TOO_LARGE: dict[int | str, dict[str, Any]] = {
    413: {"description": "The quota does not suffice (`upload_quota_exceeded`)"}
}


def upload_out(row: Upload, settings: Settings, **more: object) -> dict[str, Any]:
    """The fields of `UploadOut`."""
    receiving = row.status == uploads.RECEIVING
    names = ("id", "name", "kind", "status", "num_files", "size", "received", "reserved", "path", "owner")
    times = ("created_at", "updated_at", "completed_at")
    return {name: getattr(row, name) for name in (*names, *times)} | {
        "max_chunk_bytes": settings.max_body_bytes,
        "expires_at": row.updated_at + settings.keep_uploads_s if receiving else None,
        **more,
    }


@router.post(
    "",
    status_code=201,
    response_model=CreatedUploadOut,
    responses={
        200: {"model": CreatedUploadOut, "description": "An upload of the same files is not complete: go on with it"},
        **_OFF,
        **_TOO_LARGE,
    },
)
def create(
    services: ServicesDep, idempotency: IdempotencyDep, body: Annotated[UploadIn, Body(examples=_EXAMPLES)]
) -> Response:
    """Begin an upload of a folder or an archive: its list of files, whose bytes are reserved in the quota.

    Then send the bytes with PATCH `/v1/uploads/{id}/content`, and complete it. After an interruption, post the same
    list again: the response is the same upload, with the number of bytes that the service has.
    """
    root = root_of(services.settings)
    stored_response = idempotency.stored_response()
    if stored_response is not None:
        return stored_response
    paths, sizes = [file["path"] for file in body.files], [file["size"] for file in body.files]
    _check_list(body, paths, services.settings)
    row = Upload(
        id=new_id("upl"),
        owner=idempotency.principal.owner,
        name=body.name,
        kind=body.kind,
        status=uploads.RECEIVING,
        num_files=len(paths),
        size=sum(sizes),
        received=0,
        reserved=sum(max(size, uploads.FILE_BYTES) for size in sizes),
        path=".",
        inputs_digest=_digest_of(body),
    )
    return _add(services, idempotency, row, UploadPlace(root / row.id), StreamListing.of(paths, sizes))


def _check_list(body: UploadIn, paths: Sequence[str], settings: Settings) -> None:
    if len(paths) > settings.upload_max_files:
        detail = f"has {counted(len(paths), 'file')}; LIMBECK_UPLOAD_MAX_FILES allows {settings.upload_max_files:,}"
        raise unprocessable("too_many_files", detail, "/files")
    if body.kind == "archive" and (len(paths) > 1 or "/" in paths[0]):
        raise unprocessable("not_one_archive", "an archive is one file: give its name and size", "/files")
    if fault := first_fault(paths, settings.upload_max_files):
        at, reason = fault
        raise unprocessable("path_invalid", f'"{paths[at][:200]}" {reason}', f"/files/{at}/path")


def _digest_of(body: UploadIn) -> str:
    files = [[file["path"], file["size"], file.get("modified")] for file in body.files]
    return hashlib.sha256(json.dumps([body.kind, body.name, files]).encode()).hexdigest()


def _add(
    services: Services, idempotency: Idempotency, row: Upload, place: UploadPlace, listing: StreamListing
) -> Response:
    settings = services.settings

    def write(tx: Session) -> Reused:
        same = uploads.find_unfinished(tx, owner=idempotency.principal.owner, inputs_digest=row.inputs_digest)
        stored = same or uploads.add(tx, row, quota_bytes=settings.upload_quota_bytes)
        fields = upload_out(stored, settings, reused=same is not None)
        return CreatedUploadOut.model_validate(fields), f"/v1/uploads/{stored.id}", same is not None

    created = False
    try:
        place.folder.mkdir(parents=True)
        listing.save(place.listing)
        response = idempotency.respond_reusing(write)
        created = response.headers["location"].endswith(row.id)
    except OSError as error:
        raise disk_problem(error) from error
    finally:
        if not created:  # the transaction failed, or there is an upload to go on with
            place.remove()
    return response


@router.get("", response_model=Page[UploadOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    status: Annotated[Literal["receiving", "complete"] | None, Query()] = None,
) -> object:
    """Uploads, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Upload, limit=limit, after=after, owner=owner, status=status)
    found = [UploadOut.model_validate(upload_out(row, services.settings)) for row in rows]
    return page(found, more, lambda item: item.id)


@router.get("/{id}", response_model=UploadOut)
def get(services: ServicesDep, id: str) -> object:
    """An upload."""
    with services.db.read() as tx:
        return UploadOut.model_validate(upload_out(uploads.get(tx, id), services.settings))


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete an upload and its files."""
    return deletions.delete(services, idempotency, "upload", id, force=force)


@router.head(
    "/{id}/content",
    response_class=Response,
    responses={
        200: {
            "description": "The state of the upload",
            "content": {},
            "headers": {"Upload-Offset": _OFFSET, "Upload-Length": {"schema": {"type": "integer"}}},
        }
    },
)
def offset(services: ServicesDep, id: str) -> Response:
    """How many bytes of the upload the service has: the headers `Upload-Offset` and `Upload-Length`."""
    with services.db.read() as tx:
        row = uploads.get(tx, id)
    return Response(headers={"Upload-Offset": str(row.received), "Upload-Length": str(row.size)})


@router.patch(
    "/{id}/content",
    status_code=204,
    response_class=Response,
    openapi_extra=_CONTENT,
    responses={
        204: {"description": "The bytes are stored", "headers": {"Upload-Offset": _OFFSET}},
        409: {
            "description": "The offset is another one (`offset_mismatch`), another request goes on with the upload, or "
            "it is complete",
            "headers": {"Upload-Offset": _OFFSET},
        },
        408: {"description": "No bytes arrived for a minute"},
        507: {"description": "The disk is full"},
    },
)
async def append(
    request: Request,
    services: ServicesDep,
    id: str,
    upload_offset: Annotated[
        int, Header(ge=0, le=2**63 - 1, description="Position of the first byte of the body in the stream.")
    ],
    content_digest: Annotated[
        str | None,
        Header(
            description="Digest of the body (RFC 9530); bytes with another one are not stored.",
            examples=["sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"],
        ),
    ] = None,
) -> Response:
    """Send the next bytes of the stream. They are written while they arrive.

    If the connection is lost, ask for the offset with HEAD and go on from there; with `Content-Digest`, a body counts
    only as a whole.
    """
    wanted = _wanted_digest(content_digest)
    writer = await _in_thread(_begin, services, request.state.principal, id, upload_offset)
    with writer:
        problem = await _receive(request, writer, wanted)
        if problem is not None and wanted is not None:
            raise problem
        stored = await _in_thread(writer.acknowledge)
        if problem is not None:
            raise problem
    return Response(status_code=204, headers={"Upload-Offset": str(stored)})


def _wanted_digest(header: str | None) -> bytes | None:
    """The sha256 of a Content-Digest header. Raises ProblemError."""
    if header is None:
        return None
    match = _DIGEST.search(header)
    try:
        digest = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        digest = b""
    if len(digest) != _SHA256_BYTES:
        raise invalid_parameter("Content-Digest", "has no sha-256=:…: with 32 bytes in base64")
    return digest


def _begin(services: Services, principal: Principal, id: str, start: int) -> StreamWriter:
    place = place_of(services.settings, id)
    with services.db.read() as tx:
        row = uploads.get(tx, id)
    principal.check_may_change("upload", row)
    uploads.check_receiving(row)
    listing = _listing_of(place)
    return StreamWriter.begin(services.db, place, row, listing, offset=start)


def _listing_of(place: UploadPlace) -> StreamListing:
    try:
        return _listings.load(place.listing)
    except FileNotFoundError:
        detail = f"{place.folder.name} is gone from LIMBECK_UPLOAD_ROOT: delete it, and upload again"
        raise ProblemError(409, "upload_lost", detail) from None


async def _receive(request: Request, writer: StreamWriter, wanted: bytes | None) -> ProblemError | None:
    """Write the body. Returns the problem that ended it, after which the bytes that arrived are still good."""
    digest = hashlib.sha256()

    def write(block: bytes) -> None:
        if wanted is not None:
            digest.update(block)
        writer.write(block)

    try:
        async for block in _blocks(request):
            await _in_thread(write, block)
    except ClientDisconnect:
        return ProblemError(400, "connection_lost", "the connection was lost: ask for the offset, and go on from there")
    except TimeoutError:
        return ProblemError(408, "no_bytes", f"no bytes arrived for {_IDLE_S:.0f} s: ask for the offset, and go on")
    if wanted is not None and digest.digest() != wanted:
        return ProblemError(400, "digest_mismatch", "the body does not have its Content-Digest: send it again")
    return None


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """The body in blocks of about `_BLOCK_BYTES`. Raises ClientDisconnect and TimeoutError after the last block."""
    stream, waiting, size = request.stream(), [], 0
    problem: Exception | None = None
    while problem is None:
        try:
            async with asyncio.timeout(_IDLE_S):
                part = await anext(stream)
        except StopAsyncIteration:
            break
        except (ClientDisconnect, TimeoutError) as error:
            problem = error
            break
        waiting.append(part)
        size += len(part)
        if size >= _BLOCK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
    if problem is not None:
        raise problem


async def _in_thread(function: Callable[..., ResultT], *arguments: object) -> ResultT:
    return await anyio.to_thread.run_sync(function, *arguments, limiter=_writers)


@router.post(
    "/{id}/complete",
    response_model=UploadOut,
    responses={
        409: {
            "description": "Bytes are missing (`upload_incomplete`, `upload_damaged`) or differ (`digest_mismatch`)",
            "headers": {"Upload-Offset": _OFFSET},
        },
        **_TOO_LARGE,
    },
)
def complete(services: ServicesDep, idempotency: IdempotencyDep, id: str, body: CompletionIn) -> Response:
    """Complete an upload: its bytes are verified, an archive is unpacked, and its files do not change any more.

    A tar of samples with labels (a WebDataset shard) stays as it is. The response comes when everything is unpacked:
    repeat a request that was interrupted.
    """
    stored_response = idempotency.stored_response()
    if stored_response is not None:
        return stored_response
    place = place_of(services.settings, id)
    with services.db.read() as tx:
        idempotency.principal.check_may_change("upload", uploads.get(tx, id))
    try:
        with _being_sealed.hold(place.folder), locked(place, wait_s=sealing.SEAL_WAIT_S) as lock:
            lock.give_to("")
            return _complete(services, idempotency, place, id, body.sha256)
    except TooManyHolders:
        detail = f"{_MAX_SEALED} other uploads are being completed: try again when one of them is"
        raise ProblemError(503, "too_many_uploads", detail, headers={"Retry-After": "10"}) from None


def _complete(
    services: Services, idempotency: Idempotency, place: UploadPlace, id: str, sha256: str | None
) -> Response:
    with services.db.read() as tx:
        row = uploads.get(tx, id)
    files: sealing.SealedFiles | None = None
    if row.status == uploads.RECEIVING:
        files = sealing.prepare(services, place, row, _listing_of(place), sha256)

    def write(tx: Session) -> tuple[UploadOut, Mapping[str, str]]:
        sealed = row
        if files is not None:
            sealed = uploads.seal(tx, id, path=files.path, num_files=files.num_files, reserved=files.reserved)
        return UploadOut.model_validate(upload_out(sealed, services.settings)), {}

    response = idempotency.respond_with_headers(write)
    sealing.finish(place)
    return response
