"""Events of a job: as pages, or as a stream of server-sent events, which `Last-Event-ID` resumes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request
from fastapi.routing import APIRoute
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import Field
from starlette.datastructures import Headers
from starlette.responses import StreamingResponse
from starlette.routing import Match
from starlette.types import Scope

from api.http.dependencies import ServicesDep
from api.http.problems import invalid_parameter
from api.http.schemas import MAX_INT32, LongLimit, Page, ResponseModel, Timestamp, page
from api.jobs.job_watch import POLL_S, JobState, JobWatch
from store.db import Database
from store.errors import NotFound
from store.jobs import events, jobs

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

PING_S = 15.0
"""Pause after which a stream without events sends a comment."""
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


class _StreamRoute(APIRoute):
    """Matches only requests that accept an event stream; other requests go on to the route of the pages."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if "text/event-stream" not in Headers(scope=scope).get("accept", ""):
            return Match.NONE, {}
        return super().matches(scope)


async def _last_received(
    after: Annotated[int, Query(ge=0, le=MAX_INT32, description="Id of the last event that was received.")] = 0,
    last_event_id: Annotated[str | None, Header(description="Like `after`; an EventSource sends it.")] = None,
) -> int:
    if not last_event_id:
        return after
    if not last_event_id.isascii() or not last_event_id.isdigit() or int(last_event_id) > MAX_INT32:
        raise invalid_parameter("Last-Event-ID", "must be the id of an event, a number")
    return max(after, int(last_event_id))


LastReceived = Annotated[int, Depends(_last_received)]


def _require_events(services: ServicesDep, id: str, last: LastReceived) -> None:
    """Raise an error while the response can still be another than a stream."""
    state = _read_states(services.db, {id: last}).get(id)
    if state is None:
        raise NotFound("job", id)
    if state.finished and not state.events:
        raise HTTPException(204)  # an EventSource does not reconnect after this status


async def stream(request: Request, services: ServicesDep, id: str, last: LastReceived) -> StreamingResponse:
    """Events with ids greater than `after`, until the job has finished, with comments that keep the connection."""
    chunks = _chunks(request.app.state.job_watch, services.db, id, last)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second one for proxies
    return StreamingResponse(chunks, media_type=EventSourceResponse.media_type, headers=headers)


async def _chunks(watch: JobWatch[bytes], db: Database, id: str, last: int) -> AsyncIterator[bytes]:
    """All events that are new, as one chunk: they were encoded once for the streams of all clients.

    `fastapi.sse` would encode each event for each stream, and pass it through two queues: with 500 streams of a job,
    other requests would wait for that.
    """
    yield format_sse_event(retry=int(POLL_S * 1000))
    async with watch.watch(id, last) as job:
        while not job.ended:
            changed, finished = job.changed, job.finished
            new = job.after(last)
            if new is None:
                states = await anyio.to_thread.run_sync(_read_states, db, {id: last})
                new = states[id].events if id in states else []
            if new:
                last += len(new)  # events of a job are numbered without gaps
                yield b"".join(new)
                continue
            if finished:
                return
            try:
                async with asyncio.timeout(PING_S):
                    await changed.wait()
            except TimeoutError:
                yield KEEPALIVE_COMMENT


# The route of the pages documents both, because an OpenAPI document has one operation per path and method.
router.add_api_route(
    "/{id}/events",
    stream,
    response_class=StreamingResponse,
    dependencies=[Depends(_require_events)],
    route_class_override=_StreamRoute,
    include_in_schema=False,
)


@router.get("/{id}/events", response_model=Page[EventOut], responses=_RESPONSES)
def read(services: ServicesDep, id: str, last: LastReceived, limit: LongLimit = 100) -> object:
    """Events with ids greater than `after`, oldest first."""
    with services.db.read() as tx:
        jobs.get(tx, id)
        rows = events.after(tx, id, last, limit=limit + 1)
        return page([EventOut.model_validate(row) for row in rows[:limit]], len(rows) > limit, lambda item: item.id)


def job_watch(db: Database) -> JobWatch[bytes]:
    """The poller of an app."""
    return JobWatch(lambda known: _read_states(db, known))


def _read_states(db: Database, known: Mapping[str, int]) -> dict[str, JobState[bytes]]:
    """The next events of each job after its number, and whether it has finished; without jobs that do not exist.

    The events are encoded for a stream.
    """
    with db.read() as tx:
        found = {}
        for job_id, num_events, ended in jobs.event_states(tx, list(known)):
            last = known[job_id]
            rows = events.after(tx, job_id, last, limit=_EVENTS_PER_QUERY) if num_events > last else []
            found[job_id] = JobState([_encoded(EventOut.model_validate(row)) for row in rows], num_events, ended)
        return found


def _encoded(event: EventOut) -> bytes:
    return format_sse_event(data_str=event.model_dump_json(), event=event.type, id=str(event.id))
