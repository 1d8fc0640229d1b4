"""Events of a job: pages, and streams that a client resumes without lost or repeated events."""

import json
import threading
import time
from typing import Any

import httpx2
import pytest
from sqlalchemy.exc import OperationalError

from api.routes import events as api_events
from limbeck import Client
from store.jobs import events
from store.lifecycle import transitions
from tests.api.conftest import Service
from tests.api.live import served

SSE = {"Accept": "text/event-stream"}


def create_job(service: Service, notes: int = 0) -> str:
    id: str = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    with service.db.write() as tx:
        for n in range(notes):
            events.add(tx, id, "metrics", f"note {n}", data={"n": n})
    return id


def cancel(service: Service, id: str) -> None:
    with service.db.write() as tx:
        transitions.cancel(tx, id)


def parse_stream(stream: str) -> list[dict[str, Any]]:
    page = []
    for block in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            event = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(event["id"]), event["type"])
            page.append(event)
    return page


def test_pages(service: Service) -> None:
    id = create_job(service, notes=5)
    page = service.get(f"/v1/jobs/{id}/events")
    assert [item["id"] for item in page["data"]] == [1, 2, 3, 4, 5, 6]
    assert page["data"][0] | {"at": ""} == {
        "object": "event",
        "id": 1,
        "at": "",
        "level": "info",
        "type": "state",
        "message": "queued",
        "data": {"status": "queued"},
    }
    part = service.get(f"/v1/jobs/{id}/events", after=2, limit=3)
    assert ([item["id"] for item in part["data"]], part["has_more"], part["last_id"]) == ([3, 4, 5], True, "5")
    assert service.get(f"/v1/jobs/{id}/events", after=6)["data"] == []


def test_the_stream_of_a_finished_job_has_the_events_of_the_pages(service: Service) -> None:
    id = create_job(service, notes=3)
    cancel(service, id)
    response = service.http.get(f"/v1/jobs/{id}/events", headers=SSE)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    assert response.text.startswith("retry: 400\n\n")
    streamed = parse_stream(response.text)
    assert streamed == service.get(f"/v1/jobs/{id}/events")["data"]
    assert streamed[-1]["data"]["status"] == "cancelled"
    resumed = service.http.get(f"/v1/jobs/{id}/events", headers={**SSE, "Last-Event-ID": "4"})
    assert parse_stream(resumed.text) == streamed[4:]
    assert service.http.get(f"/v1/jobs/{id}/events?after=5", headers=SSE).text.count("id: ") == len(streamed) - 5
    over = service.http.get(f"/v1/jobs/{id}/events", headers={**SSE, "Last-Event-ID": str(streamed[-1]["id"])})
    assert (over.status_code, over.content) == (204, b"")
    for wrong in ("soon", "-1", "1e3", "9" * 12):
        response = service.http.get(f"/v1/jobs/{id}/events", headers={**SSE, "Last-Event-ID": wrong})
        assert (response.status_code, response.json()["errors"][0]["parameter"]) == (422, "Last-Event-ID")
    unknown = service.http.get("/v1/jobs/job_none/events", headers=SSE)
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.slow
def test_an_interrupted_stream_is_resumed_without_gaps(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_events, "POLL_S", 0.02)
    monkeypatch.setattr(api_events, "PING_S", 0.05)
    id = create_job(service)

    def work() -> None:
        for n in range(40):
            with service.db.write() as tx:
                events.add(tx, id, "metrics", f"step {n}")
            time.sleep(0.01 if n % 10 else 0.15)
        cancel(service, id)

    seen: list[int] = []
    keep_alives = 0
    with served(service.app) as url, httpx2.Client(base_url=url, timeout=20, verify=False) as client:
        worker = threading.Thread(target=work)
        worker.start()
        ended = False
        while not ended:
            headers = {**SSE, "Last-Event-ID": str(seen[-1])} if seen else SSE
            with client.stream("GET", f"/v1/jobs/{id}/events", headers=headers) as stream:
                assert stream.status_code == 200
                taken = 0
                for line in stream.iter_lines():
                    keep_alives += line.startswith(":")
                    if line.startswith("data: "):
                        event = json.loads(line.removeprefix("data: "))
                        seen.append(event["id"])
                        taken += 1
                        ended = event["data"].get("status") == "cancelled"
                    if taken == 7 and not ended:
                        break  # disconnect
        worker.join()
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == 44  # queued, 40 steps, cancelling, the cancelled parts, cancelled
    assert keep_alives > 0


@pytest.mark.slow
def test_a_stream_that_fails_is_closed_and_can_be_resumed(
    service: Service, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    id = create_job(service, notes=2)
    read_states, calls = api_events._read_states, 0

    def fail_once(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OperationalError("select 1", {}, Exception("connection refused"))
        return read_states(*arguments)

    monkeypatch.setattr(api_events, "_read_states", fail_once)
    with served(service.app) as url, Client(url) as client:
        cancel_later = threading.Timer(0.6, cancel, (service, id))
        cancel_later.start()
        ids = [event.id for event in client.jobs.watch(id)]
        cancel_later.join()
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) == len(service.get(f"/v1/jobs/{id}/events")["data"])
    assert "connection refused" in capfd.readouterr().err


@pytest.mark.slow
def test_all_streams_of_a_job_share_one_poller(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    id = create_job(service, notes=3)
    read_states = api_events._read_states
    polls: list[dict[str, int]] = []

    def counted(db: Any, known: dict[str, int]) -> Any:
        polls.append(dict(known))
        return read_states(db, known)

    encoded: list[int] = []
    encode = api_events._encoded

    def encoded_once(event: api_events.EventOut) -> bytes:
        encoded.append(event.id)
        return encode(event)

    monkeypatch.setattr(api_events, "_read_states", counted)
    monkeypatch.setattr(api_events, "_encoded", encoded_once)
    seen: list[list[int]] = []

    def watch(url: str) -> None:
        with Client(url) as client:
            seen.append([event.id for event in client.jobs.watch(id)])

    with served(service.app) as url:
        watchers = [threading.Thread(target=watch, args=(url,)) for _ in range(12)]
        for watcher in watchers:
            watcher.start()
        while len(polls) < 2 * len(watchers):  # one to admit each stream, one for what it missed
            time.sleep(0.05)
        polls.clear()
        encoded.clear()
        time.sleep(3 * api_events.POLL_S)
        idle = len(polls)
        cancel(service, id)
        for watcher in watchers:
            watcher.join()
    assert idle <= 4
    assert encoded == seen[0][-len(encoded) :]  # each new event once, not once per stream
    assert len(seen) == 12
    assert seen[0] == list(range(1, len(seen[0]) + 1))
    assert all(ids == seen[0] for ids in seen)


def test_shutdown_does_not_wait_for_streams(service: Service) -> None:
    id = create_job(service)
    with served(service.app) as url, httpx2.Client(base_url=url, timeout=20, verify=False) as client:
        stream = client.send(client.build_request("GET", f"/v1/jobs/{id}/events", headers=SSE), stream=True)
        assert next(stream.iter_lines()).startswith("retry:")
        started = time.monotonic()
    assert time.monotonic() - started < 10
