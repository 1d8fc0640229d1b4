"""Disk used by kind, in the API and in the metrics. On both databases and both kinds of store."""

import time

from tests.api.conftest import Service
from tests.api.published import CONTENT


def test_files_and_bytes_are_counted_by_kind(published: Service) -> None:
    published.artefacts.put_bytes(b"state", "parts/q/t/state/1")
    published.artefacts.put_bytes(b"lost", "parts/q/t/lost")
    found = published.get("/v1/storage")
    kinds = {one["kind"]: (one["files"], one["bytes"]) for one in found["kinds"]}
    assert kinds["text_targets"] == (1, len(CONTENT))
    assert kinds["students"][0] == 3
    assert kinds["training_states"] == (1, 5)
    assert kinds["other"] == (1, 4)
    assert kinds["database"][1] > 100_000
    assert found["bytes"] == sum(one["bytes"] for one in found["kinds"])
    (line,) = [line for line in published.http.get("/metrics").text.splitlines() if 'kind="text_targets"' in line]
    assert float(line.split()[-1]) == len(CONTENT)
    published.artefacts.put_bytes(b"x", "parts/q/t/more")
    assert published.get("/v1/storage") == found, "a scan is kept for some minutes"


def test_a_scrape_begins_a_scan_and_does_not_wait(published: Service) -> None:
    deadline = time.monotonic() + 20
    while 'limbeck_disk_bytes{kind="students"}' not in published.http.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
