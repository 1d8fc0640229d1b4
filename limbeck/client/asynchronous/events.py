"""Stream a job's events (server-sent events); a lost connection is resumed with `Last-Event-ID`."""

from collections.abc import AsyncIterator

import httpx2

from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.responses import parsed_text, pause_s, problem_of, wait_before_retry_s
from limbeck.models import ENDED, Event

# The service sends a keep-alive comment every 15 s; after three missed ones the connection is considered lost.
_READ_TIMEOUT_S = 45.0


async def watch(http: AsyncHttp, path: str, *, after: int) -> AsyncIterator[Event]:
    """Yield each event with an id above `after` once, up to the event that ends the job.

    Raises Problem for a permanent error, Unreachable after consecutive attempts without a new event.
    """
    failures = 0
    while True:
        error: Exception = ConnectionError("the stream ended before the job did")
        wait_s: float | None = None
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(after)}
        try:
            async with http.stream("GET", path, headers=headers, read_timeout_s=_READ_TIMEOUT_S) as response:
                if response.status_code == 204:  # the job has ended and has no event above `after`
                    return
                if response.status_code != 200:
                    await response.aread()
                    problem, wait_s = problem_of(response), wait_before_retry_s(response, failures + 1)
                    if problem.status not in (429, 502, 503, 504) or wait_s is None:
                        raise problem
                    error = problem
                else:
                    async for event in _events(response):
                        if event.id <= after:
                            continue
                        after, failures = event.id, 0
                        yield event
                        if event.type == "state" and event.data.get("status") in ENDED:
                            return
        except httpx2.TransportError as transport_error:
            error = transport_error
        failures += 1
        if failures >= http.attempts:
            raise http.unreachable(error) from error
        await http.sleep(pause_s(failures) if wait_s is None else wait_s)


async def _events(response: httpx2.Response) -> AsyncIterator[Event]:
    async for message in httpx2.EventSource(response):
        if message.data:
            yield parsed_text(Event, message.data, response)
