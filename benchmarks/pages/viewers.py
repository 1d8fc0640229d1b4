"""CPU time of the server for the viewers of the page of a running training."""

import asyncio
import time
from collections.abc import Iterator

import httpx2

from benchmarks import load
from benchmarks.measurement import Measurement
from benchmarks.pages.fill import NUM_CURVE_EVENTS, metrics
from benchmarks.responsiveness.api_process import ApiProcess
from store.jobs import events

_NUMBERS = (0, 1, 20)
_SECONDS = 20.0
_PAUSE_S = 3.0
"""`PAUSE_MS` of api/pages/static/live.js."""


def viewers(api: ApiProcess, job: str) -> Iterator[Measurement]:
    """The share of a core that each viewer costs, beyond that of a server without viewers."""
    without = 0.0
    for number in _NUMBERS:
        used = asyncio.run(_watch(api, job, number)) / _SECONDS
        if not number:
            without = used
            continue
        each = (used - without) / number
        name = f"viewers of a running training, {number}"
        measured = f"{100 * each:.2f}% of a core each, {100 * used:.1f}% of the server"
        yield Measurement(name, "< 1% each", measured, each < 0.01)


async def _watch(api: ApiProcess, job: str, number: int) -> float:
    """CPU seconds of the server while so many viewers watch, and the training reports a step per second."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", timeout=30) as client:
        tasks = [asyncio.create_task(_viewer(client, job)) for _ in range(number)]
        await asyncio.sleep(2.0)
        before, end, step = load.cpu_s(api.pid), time.monotonic() + _SECONDS, NUM_CURVE_EVENTS
        while time.monotonic() < end:
            step += 1
            await asyncio.to_thread(_report, api, job, step)
            await asyncio.sleep(1.0)
        used = load.cpu_s(api.pid) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return used


def _report(api: ApiProcess, job: str, step: int) -> None:
    with api.db.write() as tx:
        events.add(tx, job, "metrics", f"step {step}", data=metrics(step))


async def _viewer(client: httpx2.AsyncClient, job: str) -> None:
    """What api/pages/static/live.js does: an event stream; after an event both fragments, at most every `_PAUSE_S`."""
    is_due = asyncio.Event()

    async def listen() -> None:
        path, accept = f"/v1/jobs/{job}/events?after={NUM_CURVE_EVENTS}", {"Accept": "text/event-stream"}
        async with client.stream("GET", path, headers=accept) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    is_due.set()

    listening = asyncio.create_task(listen())
    try:
        while True:
            await is_due.wait()
            is_due.clear()
            for path in (f"/jobs/{job}/progress", f"/jobs/{job}/news?level=all"):
                (await client.get(path, headers={"Accept": "text/html"})).raise_for_status()
            await asyncio.sleep(_PAUSE_S)
    finally:
        listening.cancel()
