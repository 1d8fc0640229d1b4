"""A job's events as they happen: server-sent events, taken up again with `Last-Event-ID` wherever the line was lost."""

from collections.abc import Iterator

import httpx2

from limbeck.http import Http, pause_s, problem_of, retry_after_s
from limbeck.models import ENDED, Event

# The service sends a sign of life every 15 s; three missed ones mean that the line is dead.
_SILENCE_S = 45.0


def watch(http: Http, path: str, *, after: int) -> Iterator[Event]:
    """Events numbered above `after`, each once, until the one that ends the job.

    Raises Problem for an answer that will not change, Unreachable after tries in a row that brought nothing.
    """
    failures = 0
    while True:
        error: Exception = ConnectionError("the stream ended before the job did")
        wait_s: float | None = None
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Last-Event-ID": str(after)}
        try:
            with http.stream("GET", path, headers=headers, read_timeout_s=_SILENCE_S) as response:
                if response.status_code == 204:  # the job ended before event `after`: there is nothing to wait for
                    return
                if response.status_code != 200:
                    response.read()
                    problem, wait_s = problem_of(response), retry_after_s(response, failures + 1)
                    if problem.status not in (429, 502, 503, 504) or wait_s is None:
                        raise problem
                    error = problem
                else:
                    for event in _events(response):
                        if event.id <= after:
                            continue
                        after, failures = event.id, 0
                        yield event
                        if event.type == "state" and event.data.get("status") in ENDED:
                            return
        except httpx2.TransportError as lost:
            error = lost
        failures += 1
        if failures >= http.attempts:
            raise http.unreachable(error) from error
        http.sleep(pause_s(failures) if wait_s is None else wait_s)


def _events(response: httpx2.Response) -> Iterator[Event]:
    for sent in httpx2.EventSource(response):
        if sent.data:
            yield Event.model_validate_json(sent.data)
