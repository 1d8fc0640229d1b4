"""Calls in flight when a worker is killed: the usage of the job is never less than the server's bill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import update

from api.routes.jobs import read_job
from attributes.llm.transport import RawResponse
from examples.fieldguide.llm_server import serve
from limbeck.job_texts import spend_text
from limbeck.models import Job
from store.db import Database
from store.lifecycle import transitions
from store.models import LLMReservation, Part
from tests.workers.billing import MakeBillingBench, billing_llm, totals_of
from tests.workers.enrich_bench import NAMES, Bench, make_bench
from workers.runtime.context import Context

_RUN_PART = """
import sys
from workers.runtime.context import Context
from workers.dispatch import run_enrich
run_enrich(Context.open(), sys.argv[1])
"""


@pytest.mark.slow
def test_usage_includes_the_calls_in_flight_of_a_killed_worker(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(db, tmp_path, monkeypatch)
    with serve() as llm:
        llm.set_faults([{"fault": "slow", "seconds": 3.0}])
        prices = tmp_path / "prices.toml"
        prices.write_text(
            f'[[price]]\nbase_url = "{llm.base_url}"\n[price.models]\nfieldguide = {{ input = "2", output = "8" }}\n'
        )
        changes = {"llm_base_url": llm.base_url, "prices": prices}
        settings = bench.context.settings.model_copy(update=changes)
        bench.context = Context(settings, db, bench.context.artefacts, bench.context.shutting_down)
        job_id = bench.post(bench.vocabulary(NAMES[:16]), strategies=["sentence"])
        part = bench.next_part()
        assert part is not None
        env = {
            **os.environ,
            "LIMBECK_HOME": str(tmp_path),
            "LIMBECK_DATABASE_URL": db.url.render_as_string(hide_password=False),
            "LIMBECK_LLM_BASE_URL": llm.base_url,
            "LIMBECK_LLM_MODEL": "fieldguide",
            "LIMBECK_PRICES": str(prices),
            "LIMBECK_REDIS_URL": "",
        }
        worker = subprocess.Popen([sys.executable, "-c", _RUN_PART, part.id], env=env)
        try:
            give_up_at = time.monotonic() + 60
            while llm.stats()["calls"] < 1:
                assert time.monotonic() < give_up_at
                assert worker.poll() is None
                time.sleep(0.02)
            time.sleep(0.3)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        billed_calls = llm.stats()["calls"]
        assert billed_calls >= 1
        with db.write() as tx:
            tx.execute(update(Part).where(Part.id == part.id).values(lease_expires_at=0.0))
        with db.read() as tx:
            spend = read_job(tx, job_id).spend
        assert spend is not None
        assert spend.unconfirmed_calls == spend.calls >= billed_calls
        assert spend.unconfirmed_tokens == spend.tokens >= 200 * billed_calls
        assert float(spend.usd or 0) == float(spend.unconfirmed_usd or 0) > 0
        llm.set_faults([])
        monkeypatch.undo()
        with db.write() as tx:
            transitions.requeue_expired(tx, max_attempts=4)
            tx.execute(update(Part).values(not_before=0.0))
        bench.work()
        stats = llm.stats()
    assert bench.job(job_id).status == "succeeded"
    with db.read() as tx:
        out = read_job(tx, job_id)
        assert len(tx.query(LLMReservation).all()) == 1  # of the killed attempt
    assert out.spend is not None
    assert (out.spend.calls - out.spend.unconfirmed_calls, out.spend.calls >= stats["calls"]) == (16, True)
    assert out.spend.tokens >= stats["prompt_tokens"] + stats["completion_tokens"]
    shown = spend_text(Job.model_validate(out.model_dump(mode="json")).spend, ended=True)
    assert f"at most {spend.unconfirmed_calls} calls in flight when a worker was lost" in shown


@pytest.mark.slow
def test_a_finished_job_holds_nothing_and_unknown_usage_is_no_call_in_flight(make_billing: MakeBillingBench) -> None:
    bench = make_billing(seed=8, faults=0.3, unstated=0.3)
    job = bench.run(bench.vocabulary(NAMES[:24]), strategies=["sentence"])
    assert billing_llm(bench).num_unstated > 0
    with bench.db.read() as tx:
        assert tx.query(LLMReservation).all() == []
        spend = read_job(tx, job.id).spend
    assert spend is not None
    assert (spend.unconfirmed_calls, spend.unconfirmed_usd) == (0, "0")
    assert spend.calls == totals_of(bench, job.id).calls


@pytest.mark.slow
def test_the_calls_of_a_lost_lease_are_confirmed_when_they_are_recorded(
    bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was suspended comes back, and records what it has received."""
    bench, calls_seen = bench_on_sqlite, []

    async def send(_self: object, body: dict[str, object]) -> RawResponse:
        with bench.db.write() as tx:
            tx.execute(update(Part).values(lease_token="other"))
        with bench.db.read() as tx:
            spend = read_job(tx, job_id).spend
        assert spend is not None
        calls_seen.append(spend.unconfirmed_calls)
        return await bench.llm.send(body)

    monkeypatch.setattr("attributes.llm.transport.Transport.send", send)
    job_id = bench.post(bench.vocabulary(NAMES[:3]), strategies=["sentence"])
    bench.run_next_part()
    with bench.db.read() as tx:
        spend = read_job(tx, job_id).spend
    assert spend is not None
    assert min(calls_seen) >= 1
    assert (spend.calls, spend.unconfirmed_calls) == (bench.llm.calls, 0)
