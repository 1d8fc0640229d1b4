"""The part of the Hugging Face Hub's protocol that clients need to load students, with `HF_ENDPOINT` as the service.

    HF_ENDPOINT=http://127.0.0.1:8420 hf download limbeck/ckp_01…        docs/hub.md

Each checkpoint is the repository `limbeck/<id>`, which timm loads, and, if its bundle has a pairing,
`limbeck/<id>-pairing`, which open_clip loads. The only commit of a repository is the branch `main`. The protocol is
Hugging Face's, so OpenAPI does not list these routes.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AfterValidator
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from api.http import downloads
from api.http.dependencies import ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import iso_utc
from limbeck.shared.bundle import hub_layout
from limbeck.shared.bundle.hub_layout import ORGANIZATION, PAIRING_SUFFIX
from store import resources
from store.access.principals import Principal
from store.blobs.reading import content_of
from store.models import Checkpoint, CheckpointFile

router = APIRouter(include_in_schema=False)

BRANCH = "main"
_READ = ["GET", "HEAD"]
_MAX_ENTRIES = 1000
_MODELS = "/api/models"
_REPOSITORY = f"{_MODELS}/{ORGANIZATION}/{{name}}"

Limit = Annotated[int, Query(ge=1), AfterValidator(lambda limit: min(limit, _MAX_ENTRIES))]
Entry = dict[str, Any]


async def _requested_paths(request: Request) -> tuple[list[str], bool]:
    """The paths in the body, and whether their commits are asked for."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body = await request.json()
            listed, expand = body["paths"], bool(body.get("expand", False))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise ProblemError(400, "malformed_json", 'the body must be {"paths": [...]}') from None
        paths = listed if isinstance(listed, list) else [listed]
    else:
        async with request.form() as form:
            paths, expand = list(form.getlist("paths")), str(form.get("expand", "")).lower() == "true"
    return [path for path in paths if isinstance(path, str)], expand


RequestedPathsDep = Annotated[tuple[list[str], bool], Depends(_requested_paths)]


@dataclass(frozen=True)
class Repository:
    """A repository at its only commit. `files`: path in the repository -> file of the bundle, sorted by path."""

    name: str
    checkpoint: Checkpoint
    files: Mapping[str, CheckpointFile]

    @property
    def revision(self) -> str:
        """The commit, in 40 hex digits."""
        return hub_layout.revision(self.checkpoint.digest)

    @property
    def date(self) -> str:
        """When the checkpoint was made."""
        return iso_utc(self.checkpoint.created_at)


def _repository(tx: Session, name: str, revision: str = BRANCH) -> Repository:
    """The repository. Raises NotFound, or ProblemError for a missing pairing or an unknown revision."""
    id = name.removesuffix(PAIRING_SUFFIX)
    checkpoint = resources.checkpoint(tx, id)
    rows = {row.path: row for row in resources.checkpoint_files(tx, id)}
    paths = hub_layout.pairing_files(rows) if name != id else hub_layout.student_files(rows)
    if not paths:
        raise ProblemError(404, "part_missing", f"the bundle of {id} has no pairing; its README.md says why")
    found = Repository(name, checkpoint, {path: rows[paths[path]] for path in sorted(paths)})
    if revision not in (BRANCH, found.revision):
        detail = f"no revision {revision!r} of {ORGANIZATION}/{name}: there are {BRANCH} and {found.revision}"
        raise ProblemError(404, "revision_not_found", detail)
    return found


@router.api_route("/api/whoami-v2", methods=_READ)
def whoami(request: Request) -> object:
    """The key of the request as an account, for `hf auth login` and `hf auth whoami`."""
    principal: Principal = request.state.principal
    name = principal.owner
    token = {"displayName": name, "role": "write" if "write" in principal.scopes else "read"}
    return {
        "type": "user",
        "id": principal.id,
        "name": name,
        "fullname": name,
        "orgs": [{"type": "org", "name": ORGANIZATION, "fullname": "Limbeck"}],
        "auth": {"type": "access_token", "accessToken": token},
    }


@router.api_route(_MODELS, methods=_READ)
def models(
    request: Request,
    services: ServicesDep,
    author: str | None = None,
    search: str = "",
    limit: Limit = 100,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """The repositories of all checkpoints, newest first; `search` selects by name and architecture."""
    if author not in (None, ORGANIZATION):
        return JSONResponse([])
    with services.db.read() as tx:
        rows, more = resources.page(tx, Checkpoint, limit=limit, after=cursor)
    found = [row for row in rows if search.lower() in f"{ORGANIZATION}/{row.id} {row.student}".lower()]
    response = JSONResponse([_facts(Repository(row.id, row, {})) for row in found])
    return _with_next_page(response, request, rows[-1].id if more else None)


@router.api_route(_REPOSITORY, methods=_READ)
@router.api_route(f"{_REPOSITORY}/revision/{{revision:path}}", methods=_READ)
def model(services: ServicesDep, name: str, revision: str = BRANCH, blobs: bool = False) -> object:
    """A repository with the paths of its files; with `blobs`, also their sizes and digests."""
    with services.db.read() as tx:
        repository = _repository(tx, name, revision)
    return _facts(repository) | {"siblings": [_sibling(path, row, blobs) for path, row in repository.files.items()]}


@router.api_route(f"{_REPOSITORY}/refs", methods=_READ)
def refs(services: ServicesDep, name: str) -> object:
    """The branch of a repository."""
    with services.db.read() as tx:
        revision = _repository(tx, name).revision
    branch = {"name": BRANCH, "ref": f"refs/heads/{BRANCH}", "targetCommit": revision}
    return {"branches": [branch], "tags": [], "converts": [], "pullRequests": []}


@router.api_route(f"{_REPOSITORY}/tree/{{revision}}", methods=_READ)
@router.api_route(f"{_REPOSITORY}/tree/{{revision}}/{{folder:path}}", methods=_READ)
def tree(
    request: Request,
    services: ServicesDep,
    name: str,
    revision: str,
    folder: str = "",
    recursive: bool = False,
    expand: bool = False,
    limit: Limit = _MAX_ENTRIES,
    cursor: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    """The files and folders in a folder, or below it with `recursive`, sorted by path; further pages by `Link`."""
    with services.db.read() as tx:
        repository = _repository(tx, name, revision)
    entries = [entry for entry in _tree(repository, folder.strip("/"), recursive, expand) if entry["path"] > cursor]
    if not entries and not cursor:
        raise ProblemError(404, "file_not_found", f"no folder {folder!r} in {ORGANIZATION}/{name}")
    page = entries[:limit]
    return _with_next_page(JSONResponse(page), request, page[-1]["path"] if len(entries) > limit else None)


@router.post(f"{_REPOSITORY}/paths-info/{{revision:path}}")
def paths_info(services: ServicesDep, name: str, revision: str, requested: RequestedPathsDep) -> object:
    """The entries of the paths in the body, a form or JSON; unknown paths are left out."""
    paths, expand = requested
    with services.db.read() as tx:
        repository = _repository(tx, name, revision)
    by_path = {entry["path"]: entry for entry in _tree(repository, "", recursive=True, expand=expand)}
    return [by_path[path] for path in dict.fromkeys(path.strip("/") for path in paths) if path in by_path]


@router.api_route(f"/{ORGANIZATION}/{{name}}/resolve/{{revision}}/{{path:path}}", methods=_READ)
def resolve(request: Request, services: ServicesDep, name: str, revision: str, path: str) -> Response:
    """Download a file. The ETag is the sha256; Range, If-Range and If-None-Match are supported."""
    with services.db.read() as tx:
        repository = _repository(tx, name, revision)
        row = repository.files.get(path)
        if row is None:
            raise ProblemError(404, "file_not_found", f"no file {path!r} in {ORGANIZATION}/{name}")
        content = content_of(tx, row)
    stored = downloads.StoredFile(content, row.sha256, row.size, path.rpartition("/")[2])
    response = downloads.file_response(request, services.artefacts, stored)
    response.headers["X-Repo-Commit"] = repository.revision
    # A proxy that compresses removes the size, and weakens the ETag.
    response.headers["X-Linked-Size"] = str(row.size)
    response.headers["X-Linked-Etag"] = f'"{row.sha256}"'
    return response


def _facts(repository: Repository) -> Entry:
    id = f"{ORGANIZATION}/{repository.name}"
    library = "open_clip" if repository.name.endswith(PAIRING_SUFFIX) else "timm"
    return {
        "_id": repository.name,
        "id": id,
        "modelId": id,
        "author": ORGANIZATION,
        "sha": repository.revision,
        "createdAt": repository.date,
        "lastModified": repository.date,
        "private": True,
        "gated": False,
        "disabled": False,
        # Not counted, but huggingface_hub before release 0.24 needs them.
        "downloads": 0,
        "likes": 0,
        "library_name": library,
        "pipeline_tag": "zero-shot-image-classification",
        "tags": [library, "limbeck", repository.checkpoint.student],
    }


def _sibling(path: str, row: CheckpointFile, blobs: bool) -> Entry:
    if not blobs:
        return {"rfilename": path}
    entry = _file_entry(path, row)
    lfs = {"sha256": row.sha256, "size": row.size, "pointerSize": entry["lfs"]["pointerSize"]}
    return {"rfilename": path, "size": row.size, "blobId": entry["oid"], "lfs": lfs}


def _file_entry(path: str, row: CheckpointFile) -> Entry:
    # As of a file in Git LFS, whose blob in git is a pointer. Then clients take the sha256 for the file's identity.
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{row.sha256}\nsize {row.size}\n".encode()
    oid = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer, usedforsecurity=False).hexdigest()
    lfs = {"oid": row.sha256, "size": row.size, "pointerSize": len(pointer)}
    return {"type": "file", "path": path, "size": row.size, "oid": oid, "lfs": lfs}


def _tree(repository: Repository, folder: str, recursive: bool, expand: bool) -> list[Entry]:
    """The entries in a folder (empty for the root), sorted by path; empty if there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    commit = {"id": repository.revision, "title": f"Checkpoint {repository.checkpoint.id}", "date": repository.date}
    entries: dict[str, Entry] = {}
    for path, row in repository.files.items():
        if path.startswith(prefix):
            entries |= {name: _folder_entry(repository, name) for name in _folders(path, prefix)}
            if recursive or "/" not in path.removeprefix(prefix):
                entries[path] = _file_entry(path, row)
    shown = [entry for path, entry in entries.items() if recursive or "/" not in path.removeprefix(prefix)]
    for entry in shown if expand else ():
        entry["lastCommit"] = commit
    return sorted(shown, key=lambda entry: str(entry["path"]))


def _folders(path: str, prefix: str) -> Iterator[str]:
    """The folders below `prefix` that contain the file."""
    steps = path.split("/")
    for count in range(prefix.count("/") + 1, len(steps)):
        yield "/".join(steps[:count])


def _folder_entry(repository: Repository, path: str) -> Entry:
    oid = hashlib.sha1(f"{repository.revision}:{path}".encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "path": path, "size": 0, "oid": oid}


def _with_next_page(response: Response, request: Request, cursor: str | None) -> Response:
    """Add the address of the next page, which clients open as it is, so a proxy's scheme, host and prefix are kept.

    The forwarded headers may be wrong: they only decide where this client asks next.
    """
    if cursor is not None:
        forwarded = {name: request.headers.get(f"x-forwarded-{name}", "") for name in ("proto", "host", "prefix")}
        scheme = forwarded["proto"] if forwarded["proto"] in ("http", "https") else request.url.scheme
        host = forwarded["host"] or request.url.netloc
        path = forwarded["prefix"].rstrip("/") + quote(request.url.path)
        url = f"{scheme}://{host}{path}?{urlencode({**request.query_params, 'cursor': cursor})}"
        response.headers["Link"] = f'<{url}>; rel="next"'
    return response
