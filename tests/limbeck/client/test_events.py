"""Streaming a job's events over a connection that breaks."""

import json
from typing import Any

import pytest

from limbeck import Client, Problem, Unreachable
from tests.limbeck.scripted import Say, problem, scripted


def event(number: int, type: str = "message", **data: Any) -> bytes:
    body = {
        "id": number,
        "at": "2026-11-23T21:04:05Z",
        "level": "info",
        "type": type,
        "message": f"event {number}",
        "data": data,
    }
    return f"id: {number}\nevent: {type}\ndata: {json.dumps(body)}\n\n".encode()


def stream(*events: bytes, cut_after: int | None = None) -> Say:
    return Say(200, b": ping\n\n" + b"".join(events), {"Content-Type": "text/event-stream"}, cut_after)


END = event(4, "state", status="succeeded")


def watched(script: list[Say], *, after: int = 0, attempts: int = 7) -> tuple[list[int], list[str]]:
    with scripted(script) as server, Client(server.url, sleep=lambda _: None, attempts=attempts) as limbeck:
        numbers = [one.id for one in limbeck.jobs.watch("job_1", after=after)]
    return numbers, [seen.headers["last-event-id"] for seen in server.seen]


def test_the_last_event_is_the_end_of_the_job() -> None:
    numbers, last_event_ids = watched([stream(event(1, "state", status="running"), event(2), event(3), END, event(5))])
    assert numbers == [1, 2, 3, 4]
    assert last_event_ids == ["0"]


def test_a_lost_connection_is_resumed_after_the_last_event() -> None:
    first = stream(event(1), event(2))
    cut = stream(event(3), END, cut_after=len(b": ping\n\n" + event(3)) + 10)
    numbers, last_event_ids = watched([first, Say(cut_after=0), cut, problem(503, "starting"), stream(event(3), END)])
    assert numbers == [1, 2, 3, 4]
    assert last_event_ids == ["0", "2", "2", "3", "3"]


def test_the_stream_can_start_after_an_event() -> None:
    numbers, last_event_ids = watched([stream(event(3), END)], after=2)
    assert (numbers, last_event_ids) == ([3, 4], ["2"])


def test_an_ended_job_without_further_events_ends_the_stream() -> None:
    assert watched([Say(204, b"")], after=4) == ([], ["4"])


def test_an_unknown_job_is_a_problem_without_retries() -> None:
    with pytest.raises(Problem, match="job_not_found"):
        watched([problem(404, "job_not_found")])


def test_consecutive_attempts_without_events_are_limited() -> None:
    with pytest.raises(Unreachable):
        watched([stream(event(1)), *[stream()] * 3], attempts=3)
