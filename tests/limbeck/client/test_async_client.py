"""The asynchronous client against scripted servers: the same behaviour as the other one, and work at the same time."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx2
import pytest

from limbeck import AsyncClient, BrokenDownload, FilesInTheWay, JobFailed, NotFound, Unreachable, VersionMismatch
from limbeck.shared.bundle.files import verify_files
from tests.limbeck.client.test_events import END, event, stream
from tests.limbeck.helpers import VOCABULARY, bundle_script, job, page
from tests.limbeck.scripted import Say, Scripted, problem, scripted

NAME = "image/model.safetensors"
CONTENT = bytes(range(256)) * 40
Result = TypeVar("Result")


def used(script: list[Say], use: Callable[[AsyncClient], Awaitable[Result]], **options: int) -> tuple[Result, Scripted]:
    """What `use` returns with a client of a server with this script, and the server."""

    async def pause(seconds: float) -> None:
        await asyncio.sleep(0)

    async def main(url: str) -> Result:
        async with AsyncClient(url, sleep=pause, **options) as client:
            return await use(client)

    with scripted(script) as server:
        return asyncio.run(main(server.url)), server


def test_a_post_is_retried_with_the_same_key() -> None:
    created, server = used(
        [Say(cut_after=0), problem(503, "busy"), Say(201, VOCABULARY)],
        lambda client: client.vocabularies.create("birds", ["crane"]),
    )
    assert created.id == "voc_1"
    assert len({seen.headers["idempotency-key"] for seen in server.seen}) == 1


def test_all_pages_of_a_list_are_fetched() -> None:
    async def ids(client: AsyncClient) -> list[str]:
        return [one.id async for one in client.vocabularies.list()]

    more = {**page(VOCABULARY), "has_more": True}
    found, server = used([Say(200, more), Say(200, page({**VOCABULARY, "id": "voc_2"}))], ids)
    assert found == ["voc_1", "voc_2"]
    assert server.seen[1].path.endswith("after=voc_1")


def test_wait_updates_and_watch_follow_a_job_to_its_end() -> None:
    async def follow(client: AsyncClient) -> list[object]:
        started = await client.jobs.create("enrich", vocabulary_id="voc_1", budget_usd="2.5")
        return [
            [one.status async for one in client.jobs.updates(started)],
            (await client.jobs.wait(started.id)).status,
            [one.id async for one in client.jobs.watch(started)],
        ]

    states = [job("queued"), job("queued"), job("running"), job("succeeded"), job("succeeded")]
    events = [stream(event(1)), stream(event(2), END, cut_after=10), stream(event(2), END)]
    found, server = used([*(Say(200, one) for one in states), *events], follow)
    assert found == [["queued", "running", "succeeded"], "succeeded", [1, 2, 4]]
    assert json.loads(server.seen[0].body) == {
        "kind": "enrich",
        "vocabulary_id": "voc_1",
        "strategies": ["describe"],
        "budget_usd": "2.5",
    }


def test_errors_are_those_of_the_other_client() -> None:
    other = Say(200, {}, {"Limbeck-Version": "9.2.0"})
    for script, error in (
        ([problem(404, "job_not_found")], NotFound),
        ([Say(200, job("failed"))], JobFailed),
        ([other], VersionMismatch),
        ([Say(cut_after=0)] * 2, Unreachable),
    ):
        with pytest.raises(error):
            used(script, lambda client: client.jobs.wait("job_1"), attempts=2)


def test_an_interrupted_download_is_resumed_and_verified(tmp_path: Path) -> None:
    before, _ = bundle_script({NAME: CONTENT})
    script = [*before, Say(200, CONTENT, cut_after=3000), Say(206, CONTENT[3000:])]
    paths, server = used(script, lambda client: client.checkpoints.download("ckp_1", tmp_path, ["image"]))
    assert verify_files(tmp_path)
    assert paths == (tmp_path / "manifest.json", tmp_path / NAME)
    assert [seen.headers.get("range") for seen in server.seen[-2:]] == [None, "bytes=3000-"]


def test_wrong_bytes_and_other_files_are_refused(tmp_path: Path) -> None:
    before, _ = bundle_script({NAME: CONTENT})
    wrong = Say(200, bytes(len(CONTENT)))
    with pytest.raises(BrokenDownload, match="wrong sha256"):
        used([*before, wrong, wrong], lambda client: client.checkpoints.download("ckp_1", tmp_path, ["image"]))
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(FilesInTheWay):
        used(before, lambda client: client.checkpoints.download("ckp_1", tmp_path, ["image"]))
    assert (tmp_path / NAME).read_bytes() == b"mine"


def test_downloads_at_the_same_time_give_one_complete_bundle(tmp_path: Path) -> None:
    (checkpoint, manifest), _ = bundle_script({NAME: CONTENT})
    bodies = {"ckp_1": checkpoint.content, "manifest.json": manifest.content, "model.safetensors": CONTENT}
    requested: list[str] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        requested.append(request.url.path.rpartition("/")[2])
        return httpx2.Response(200, stream=httpx2.ByteStream(bodies[requested[-1]]))

    async def main() -> list[tuple[Path, ...]]:
        async with AsyncClient(
            "http://service", transport=httpx2.MockTransport(respond), sleep=lambda _: asyncio.sleep(0)
        ) as client:
            downloads = [client.checkpoints.download("ckp_1", tmp_path, ["image"]) for _ in range(3)]
            return await asyncio.gather(*downloads)

    assert asyncio.run(main()) == [(tmp_path / "manifest.json", tmp_path / NAME)] * 3
    assert sorted(requested) == ["ckp_1"] * 3 + ["manifest.json"] * 3 + ["model.safetensors"]
    assert verify_files(tmp_path)
