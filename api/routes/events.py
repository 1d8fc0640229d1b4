"""A job's events: as pages, or as server-sent events while they happen, which `Last-Event-ID` takes up again."""

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from api.http.dependencies import Use
from api.http.problems import ErrorItem, ProblemError
from api.http.schemas import MAX_INT32, LongLimit, Output, Page, Time, page
from store.db import Database
from store.jobs import events, lifecycle

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

POLL_S = 0.4
HEARTBEAT_S = 15.0
_BATCH = 500


class EventOut(Output):
    """Something that happened; `id` ascends from 1 within the job, in the order of commit."""

    object: Literal["event"] = "event"
    id: int
    at: Time
    level: Literal["info", "warning", "error"]
    type: Literal["message", "metrics", "state"]
    message: str
    data: dict[str, Any]


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page, or by `Accept: text/event-stream` the events as they happen, until the job has ended",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1\nevent: state\ndata: {"object": "event", "id": 1, "type": "state", ...}\n\n',
            }
        },
    },
    204: {"description": "To a stream: the job has ended, and nothing came after `Last-Event-ID`"},
}


@router.get("/{id}/events", response_model=Page[EventOut], responses=_STREAM)
def read(
    request: Request,
    use: Use,
    id: str,
    limit: LongLimit = 100,
    after: Annotated[int, Query(ge=0, le=MAX_INT32, description="Number of the last event already seen.")] = 0,
    last_event_id: Annotated[str | None, Header(description="As `after`; what an EventSource sends.")] = None,
) -> object:
    """Events above number `after`, oldest first."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return _stream(use.db, id, max(after, _number(last_event_id)))
    with use.db.read() as tx:
        lifecycle.get(tx, id)
        rows = events.after(tx, id, after, limit=limit + 1)
        return page([EventOut.model_validate(row) for row in rows[:limit]], len(rows) > limit, lambda one: one.id)


def _number(last_event_id: str | None) -> int:
    if not last_event_id:
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit() or int(last_event_id) > MAX_INT32:
        detail = "must be the number of an event"
        error = ProblemError(422, "invalid_request", f"Last-Event-ID {detail}")
        error.errors.append(ErrorItem(parameter="Last-Event-ID", detail=detail))
        raise error
    return int(last_event_id)


def _stream(db: Database, job_id: str, last: int) -> Response:
    rows, ended = _look(db, job_id, last)
    if ended and not rows:
        return Response(status_code=204)  # tells an EventSource not to come again
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_follow(db, job_id, last), media_type="text/event-stream", headers=headers)


async def _follow(db: Database, job_id: str, last: int) -> AsyncIterator[str]:
    yield f"retry: {int(POLL_S * 1000)}\n\n"
    spoken = time.monotonic()
    while True:
        rows, ended = await anyio.to_thread.run_sync(_look, db, job_id, last)
        for row in rows:
            yield f"id: {row.id}\nevent: {row.type}\ndata: {json.dumps(row.model_dump())}\n\n"
            last = row.id
        if rows:
            spoken = time.monotonic()
            continue
        if ended:
            return
        if time.monotonic() - spoken > HEARTBEAT_S:
            yield ": still here\n\n"
            spoken = time.monotonic()
        await anyio.sleep(POLL_S)


def _look(db: Database, job_id: str, last: int) -> tuple[list[EventOut], bool]:
    # The end is looked at first: what is read after it includes the event that says so.
    with db.read() as tx:
        ended = lifecycle.get(tx, job_id).status in lifecycle.ENDED
        return [EventOut.model_validate(row) for row in events.after(tx, job_id, last, limit=_BATCH)], ended
