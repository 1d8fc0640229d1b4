"""FastAPI dependencies of the routes: the app's services, the raw body, and idempotent writes (`Idempotency-Key`)."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.limited_process import LARGE_BYTES
from api.http.problems import ProblemError, invalid_parameter
from api.http.schemas import MAX_NAME_CHARS
from api.http.write_requests import write_request
from store import idempotency
from store.access import audit
from store.access.audit import WriteRequest
from store.access.principals import ME, Principal
from store.artefacts import Artefacts
from store.db import Database
from store.settings import Settings


@dataclass(frozen=True)
class Services:
    """The objects that an app shares among its requests."""

    settings: Settings
    db: Database
    artefacts: Artefacts


# Dependencies are coroutines, because FastAPI runs every plain function in a separate thread.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _raw_body(request: Request) -> bytes:
    return await request.body()


async def _owner_filter(
    request: Request,
    owner: Annotated[
        str | None,
        Query(max_length=MAX_NAME_CHARS, description="Only what belongs to this owner: the name of a key, or `me`."),
    ] = None,
) -> str | None:
    principal: Principal = request.state.principal
    return principal.owner if owner == ME else owner


async def require_admin(request: Request) -> None:
    """Refuse a key without the scope admin: 403."""
    principal: Principal = request.state.principal
    if not principal.is_admin:
        headers = {"WWW-Authenticate": 'Bearer realm="limbeck", error="insufficient_scope", scope="admin"'}
        raise ProblemError(403, "scope_missing", 'this key lacks the scope "admin"', headers=headers)


ServicesDep = Annotated[Services, Depends(_services)]
RawBody = Annotated[bytes, Depends(_raw_body)]
OwnerFilter = Annotated[str | None, Depends(_owner_filter)]
"""The parameter `owner` of a list, without `me`."""

Created = tuple[BaseModel, str]
"""The resource that a request created, and its URL path."""
Reused = tuple[BaseModel, str, bool]
"""The resource of a request, its URL path, and whether an equal one existed before."""


@dataclass(frozen=True)
class Idempotency:
    """Executes a request once per `Idempotency-Key` and principal; repeated requests get the stored response.

    The transaction that executes it also records it (`store.access.audit`). Every route that changes something writes
    with this object.
    """

    db: Database
    request: WriteRequest
    path_id: str | None
    principal: Principal
    key: str | None
    request_sha256: str

    def stored_response(self) -> Response | None:
        """The stored response of this key, or None. For routes that do expensive work before they write.

        Raises `Conflict` if the key was used for a different request.
        """
        if self.key is None:
            return None
        with self.db.read() as tx:
            response = idempotency.find(
                tx, principal=self.principal.id, key=self.key, request_sha256=self.request_sha256
            )
        return _response(response) if response else None

    def respond(
        self, write: Callable[[Session], Created], *, status: int = 201, secrets: Collection[str] = ()
    ) -> Response:
        """Call `write` and store its response in one transaction; the response has a Location header.

        `secrets`: the fields of the response that are not stored; they are null in the response to a repetition.

        If the key already has a response, return that response without calling `write`. Raises `Conflict` if the key
        was used for a different request.
        """

        def with_location(tx: Session) -> tuple[BaseModel, Mapping[str, str], int]:
            resource, location = write(tx)
            return resource, {"Location": location}, status

        return self._respond(with_location, secrets)

    def respond_reusing(self, write: Callable[[Session], Reused], *, status: int = 201) -> Response:
        """Like `respond`, but `write` also says whether the resource existed before; the status is then 200."""

        def with_status(tx: Session) -> tuple[BaseModel, Mapping[str, str], int]:
            resource, location, is_reused = write(tx)
            return resource, {"Location": location}, 200 if is_reused else status

        return self._respond(with_status)

    def respond_with_headers(
        self, write: Callable[[Session], tuple[BaseModel, Mapping[str, str]]], *, status: int = 200
    ) -> Response:
        """Like `respond`, but `write` returns the response's headers instead of its Location."""
        return self._respond(lambda tx: (*write(tx), status))

    def respond_deleted(self, write: Callable[[Session], BaseModel | None]) -> Response:
        """Call `write` once per key. The status is 200 with its resource, or 204 if it returns None."""
        return self._respond(lambda tx: (deleted := write(tx), {}, 204 if deleted is None else 200))

    def _respond(
        self, write: Callable[[Session], tuple[BaseModel | None, Mapping[str, str], int]], secrets: Collection[str] = ()
    ) -> Response:
        """`write` returns the resource (None: no body), the headers and the status of the response."""
        with self.db.write() as tx:
            if self.key is not None:
                stored_response = idempotency.reserve(
                    tx, principal=self.principal.id, key=self.key, request_sha256=self.request_sha256
                )
                if stored_response is not None:
                    return _response(stored_response)
            resource, headers, status = write(tx)
            body = "" if resource is None else resource.model_dump_json()
            if self.key is not None:
                stored = body
                if resource is not None and secrets:
                    stored = resource.model_copy(update=dict.fromkeys(secrets)).model_dump_json()
                response = idempotency.StoredResponse(status, headers, stored)
                idempotency.save_response(tx, principal=self.principal.id, key=self.key, response=response)
            audit.record(tx, self.request, resource_id=getattr(resource, "id", self.path_id), status=status)
        return _response(idempotency.StoredResponse(status, headers, body))


def _response(response: idempotency.StoredResponse) -> Response:
    if response.status == 204:
        return Response(status_code=204)
    return Response(response.body, response.status, dict(response.headers), media_type="application/json")


async def _idempotency(
    request: Request,
    services: ServicesDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="A unique text of your choice. A request that repeats the key and the body gets the first "
            "response again.",
            examples=["5f0c6c1e-birds"],
        ),
    ] = None,
) -> Idempotency:
    if idempotency_key is not None and not re.fullmatch(f"[!-~]{{1,{idempotency.MAX_KEY_CHARS}}}", idempotency_key):
        detail = f"must be 1 to {idempotency.MAX_KEY_CHARS} visible ASCII characters"
        raise invalid_parameter("Idempotency-Key", detail, code="idempotency_key_invalid")
    digest = hashlib.sha256()
    for field in (request.method, request.url.path, request.url.query, request.headers.get("content-type", "")):
        digest.update(f"{field}\0".encode())
    body = await request.body()
    if len(body) > LARGE_BYTES:  # a hash of 64 MB takes 0.1 s
        await anyio.to_thread.run_sync(digest.update, body)
    else:
        digest.update(body)
    return Idempotency(
        db=services.db,
        request=write_request(request.scope),
        path_id=request.path_params.get("id"),
        principal=request.state.principal,
        key=idempotency_key,
        request_sha256=digest.hexdigest(),
    )


IdempotencyDep = Annotated[Idempotency, Depends(_idempotency)]
