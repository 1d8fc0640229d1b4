"""The embedded worker: its queues, and an error that does not come from a part."""

import pytest

from tests.store.job_helpers import create_job
from tests.workers.enrich_bench import Bench
from workers import embedded
from workers.runtime.context import Context


def test_a_queue_without_its_dependencies_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedded.installed_queues() == ["enrich", "gpu"]
    monkeypatch.setattr(embedded, "is_installed", lambda part: part != "gpu")
    assert embedded.installed_queues() == ["enrich"]


def test_an_error_outside_of_a_part_does_not_end_the_worker(
    bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = bench_on_sqlite.context
    create_job(context.db)
    runs: list[str] = []

    def run(context: Context, part_id: str) -> None:
        runs.append(part_id)
        if len(runs) == 1:
            raise ImportError("no module named x")
        context.shutting_down.set()

    monkeypatch.setitem(embedded.RUN, "gpu", run)
    embedded.work(context, "gpu")
    assert len(runs) == 2
