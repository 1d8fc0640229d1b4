"""Events of a job: as pages, or as a stream of server-sent events, which `Last-Event-ID` resumes."""

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request
from pydantic import Field
from starlette.responses import Response, StreamingResponse

from api.http.dependencies import ServicesDep
from api.http.problems import invalid_parameter
from api.http.schemas import MAX_INT32, LongLimit, Page, ResponseModel, Timestamp, page
from store.db import Database
from store.jobs import events, jobs

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

POLL_S = 0.4
KEEP_ALIVE_S = 15.0
_EVENTS_PER_QUERY = 500


class EventOut(ResponseModel):
    """An event of a job."""

    object: Literal["event"] = "event"
    id: int = Field(description="Number within the job, from 1, in the order of commit.")
    at: Timestamp
    level: Literal["info", "warning", "error"]
    type: Literal["message", "metrics", "state"]
    message: str = Field(description="For people.")
    data: dict[str, Any] = Field(description="For programs: metrics, or the new state.")


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page; with `Accept: text/event-stream`, a stream of events until the job has finished",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1\nevent: state\ndata: {"object": "event", "id": 1, "type": "state", ...}\n\n',
            }
        },
    },
    204: {"description": "Streams only: the job has finished, and no event follows `Last-Event-ID`"},
}


@router.get("/{id}/events", response_model=Page[EventOut], responses=_RESPONSES)
def read(
    request: Request,
    services: ServicesDep,
    id: str,
    limit: LongLimit = 100,
    after: Annotated[int, Query(ge=0, le=MAX_INT32, description="Id of the last event that was received.")] = 0,
    last_event_id: Annotated[str | None, Header(description="Like `after`; an EventSource sends it.")] = None,
) -> object:
    """Events with ids greater than `after`, oldest first."""
    if "text/event-stream" in request.headers.get("accept", ""):
        return _stream(services.db, id, max(after, _parse_event_id(last_event_id)))
    with services.db.read() as tx:
        jobs.get(tx, id)
        rows = events.after(tx, id, after, limit=limit + 1)
        return page([EventOut.model_validate(row) for row in rows[:limit]], len(rows) > limit, lambda item: item.id)


def _parse_event_id(last_event_id: str | None) -> int:
    if not last_event_id:
        return 0
    if not last_event_id.isascii() or not last_event_id.isdigit() or int(last_event_id) > MAX_INT32:
        raise invalid_parameter("Last-Event-ID", "must be the id of an event, a number")
    return int(last_event_id)


def _stream(db: Database, job_id: str, last: int) -> Response:
    rows, finished = _read_after(db, job_id, last)
    if finished and not rows:
        return Response(status_code=204)  # an EventSource does not reconnect after this status
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_follow(db, job_id, last), media_type="text/event-stream", headers=headers)


async def _follow(db: Database, job_id: str, last: int) -> AsyncIterator[str]:
    yield f"retry: {int(POLL_S * 1000)}\n\n"
    last_sent = time.monotonic()
    while True:
        rows, finished = await anyio.to_thread.run_sync(_read_after, db, job_id, last)
        for row in rows:
            yield f"id: {row.id}\nevent: {row.type}\ndata: {json.dumps(row.model_dump())}\n\n"
            last = row.id
        if rows:
            last_sent = time.monotonic()
            continue
        if finished:
            return
        if time.monotonic() - last_sent > KEEP_ALIVE_S:
            yield ": keep-alive\n\n"
            last_sent = time.monotonic()
        await anyio.sleep(POLL_S)


def _read_after(db: Database, job_id: str, last: int) -> tuple[list[EventOut], bool]:
    """The next events, and whether the job has finished."""
    # Read the status first: if the job has finished, the events that are read next include the last one.
    with db.read() as tx:
        finished = jobs.get(tx, job_id).status in jobs.ENDED
        rows = events.after(tx, job_id, last, limit=_EVENTS_PER_QUERY)
        return [EventOut.model_validate(row) for row in rows], finished
