"""What routes are handed: the services they work with, who asks, and the answer that is given once per key."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.problems import ErrorItem, ProblemError
from store import idempotency
from store.artefacts import Artefacts
from store.db import Database
from store.settings import Settings


@dataclass(frozen=True)
class Services:
    """What an app is made with."""

    settings: Settings
    db: Database
    artefacts: Artefacts


# These are coroutines, for each plain function among a route's dependencies would take a thread of its own.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _raw_body(request: Request) -> bytes:
    return await request.body()


Use = Annotated[Services, Depends(_services)]
RawBody = Annotated[bytes, Depends(_raw_body)]

Made = tuple[BaseModel, str]
"""What a request made, and its path."""


@dataclass(frozen=True)
class Once:
    """A request that is carried out once, however often it is sent with the same `Idempotency-Key`."""

    db: Database
    principal: str
    key: str | None
    request_sha256: str

    def earlier(self) -> Response | None:
        """The answer already given with this key; for routes that do much before they write."""
        if self.key is None:
            return None
        with self.db.read() as tx:
            answer = idempotency.find(tx, principal=self.principal, key=self.key, request_sha256=self.request_sha256)
        return _response(answer) if answer else None

    def answer(self, make: Callable[[Session], Made], *, status: int = 201) -> Response:
        """What `make` makes and the path of it, in one transaction with the record of the answer, then answered."""

        def with_location(tx: Session) -> tuple[BaseModel, Mapping[str, str]]:
            made, location = make(tx)
            return made, {"Location": location}

        return self.answer_with(with_location, status=status)

    def answer_with(
        self, make: Callable[[Session], tuple[BaseModel, Mapping[str, str]]], *, status: int = 200
    ) -> Response:
        """The same for what is answered with headers of its own."""
        with self.db.write() as tx:
            if self.key is not None:
                earlier = idempotency.begin(
                    tx, principal=self.principal, key=self.key, request_sha256=self.request_sha256
                )
                if earlier is not None:
                    return _response(earlier)
            made, headers = make(tx)
            answer = idempotency.Answer(status, headers, made.model_dump_json())
            if self.key is not None:
                idempotency.end(tx, principal=self.principal, key=self.key, answer=answer)
        return _response(answer)


def _response(answer: idempotency.Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers), media_type="application/json")


async def _once(
    request: Request,
    services: Use,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Any text: sent again with the same body, the request gets the first answer again.",
            examples=["5f0c6c1e-birds"],
        ),
    ] = None,
) -> Once:
    if idempotency_key is not None and not re.fullmatch(f"[!-~]{{1,{idempotency.MAX_KEY_CHARS}}}", idempotency_key):
        detail = f"must be 1 to {idempotency.MAX_KEY_CHARS} visible ASCII characters"
        error = ProblemError(422, "idempotency_key_invalid", f"Idempotency-Key {detail}")
        error.errors.append(ErrorItem(parameter="Idempotency-Key", detail=detail))
        raise error
    digest = hashlib.sha256()
    for piece in (request.method, request.url.path, request.url.query, request.headers.get("content-type", "")):
        digest.update(f"{piece}\0".encode())
    digest.update(await request.body())
    return Once(services.db, request.state.principal, idempotency_key, digest.hexdigest())


OnlyOnce = Annotated[Once, Depends(_once)]
