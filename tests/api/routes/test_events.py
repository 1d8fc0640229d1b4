"""A job's events: pages, and streams that a reader can leave and take up again without losing or repeating one."""

import json
import threading
import time
from typing import Any

import httpx2
import pytest

from api.routes import events as api_events
from store.jobs import events
from store.lifecycle import transitions
from tests.api.conftest import Service
from tests.api.live import served

SSE = {"Accept": "text/event-stream"}


def _job(service: Service, notes: int = 0) -> str:
    id: str = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    with service.db.write() as tx:
        for n in range(notes):
            events.add(tx, id, "metrics", f"note {n}", data={"n": n})
    return id


def _cancel(service: Service, id: str) -> None:
    with service.db.write() as tx:
        transitions.cancel(tx, id)


def _parse(stream: str) -> list[dict[str, Any]]:
    found = []
    for block in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            event = json.loads(fields["data"])
            assert (fields["id"], fields["event"]) == (str(event["id"]), event["type"])
            found.append(event)
    return found


def test_pages(service: Service) -> None:
    id = _job(service, notes=5)
    found = service.get(f"/v1/jobs/{id}/events")
    assert [one["id"] for one in found["data"]] == [1, 2, 3, 4, 5, 6]
    assert found["data"][0] | {"at": ""} == {
        "object": "event",
        "id": 1,
        "at": "",
        "level": "info",
        "type": "state",
        "message": "queued",
        "data": {"status": "queued"},
    }
    part = service.get(f"/v1/jobs/{id}/events", after=2, limit=3)
    assert ([one["id"] for one in part["data"]], part["has_more"], part["last_id"]) == ([3, 4, 5], True, "5")
    assert service.get(f"/v1/jobs/{id}/events", after=6)["data"] == []


def test_a_stream_of_a_job_that_ended_is_the_pages_and_ends(service: Service) -> None:
    id = _job(service, notes=3)
    _cancel(service, id)
    answer = service.http.get(f"/v1/jobs/{id}/events", headers=SSE)
    assert answer.headers["content-type"].startswith("text/event-stream")
    streamed = _parse(answer.text)
    assert streamed == service.get(f"/v1/jobs/{id}/events")["data"]
    assert streamed[-1]["data"]["status"] == "cancelled"
    resumed = service.http.get(f"/v1/jobs/{id}/events", headers={**SSE, "Last-Event-ID": "4"})
    assert _parse(resumed.text) == streamed[4:]
    assert service.http.get(f"/v1/jobs/{id}/events?after=5", headers=SSE).text.count("id: ") == len(streamed) - 5
    over = service.http.get(f"/v1/jobs/{id}/events", headers={**SSE, "Last-Event-ID": str(streamed[-1]["id"])})
    assert (over.status_code, over.content) == (204, b"")
    for wrong in ("soon", "-1", "1e3", "9" * 12):
        answer = service.http.get(f"/v1/jobs/{id}/events", headers={**SSE, "Last-Event-ID": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "Last-Event-ID")
    assert service.http.get("/v1/jobs/job_none/events", headers=SSE).status_code == 404


def test_a_stream_broken_off_at_random_is_taken_up_without_gap(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "POLL_S", 0.02)
    monkeypatch.setattr(api_events, "KEEP_ALIVE_S", 0.05)
    id = _job(service)

    def work() -> None:
        for n in range(40):
            with service.db.write() as tx:
                events.add(tx, id, "metrics", f"step {n}")
            time.sleep(0.01 if n % 10 else 0.15)
        _cancel(service, id)

    seen: list[int] = []
    heartbeats = 0
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
                    heartbeats += line.startswith(":")
                    if line.startswith("data: "):
                        event = json.loads(line.removeprefix("data: "))
                        seen.append(event["id"])
                        taken += 1
                        ended = event["data"].get("status") == "cancelled"
                    if taken == 7 and not ended:
                        break  # the line is lost
        worker.join()
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == 44  # queued, 40 steps, cancelling, what was left undone, cancelled
    assert heartbeats > 0


def test_a_server_that_stops_does_not_wait_for_streams(service: Service) -> None:
    id = _job(service)
    with served(service.app) as url, httpx2.Client(base_url=url, timeout=20, verify=False) as client:
        stream = client.send(client.build_request("GET", f"/v1/jobs/{id}/events", headers=SSE), stream=True)
        assert next(stream.iter_lines()).startswith("retry:")
        started = time.monotonic()
    assert time.monotonic() - started < 10
