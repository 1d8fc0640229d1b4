"""Cost of calls, and the usage totals of jobs against what the server billed."""

from pathlib import Path

import pytest
from sqlalchemy import select

from api.http.problems import ProblemError
from attributes.llm.results import Call
from attributes.llm.transport import Transport
from examples.fieldguide.llm_server import serve
from store.db import Database
from store.enrich.usage import Cost
from store.models import Job, LLMCall
from tests.workers.billing import (
    PRICE,
    MakeBillingBench,
    billing_llm,
    run_with_workers,
    sums_of_calls,
    sums_of_totals,
    totals_of,
)
from tests.workers.enrich_bench import NAMES, make_bench
from workers.enrich import batch
from workers.enrich.call_costs import cost_of_call, cost_pusd, max_cost
from workers.runtime.context import Context


def call(http_status: int | None, prompt_tokens: int | None, completion_tokens: int | None) -> Call:
    return Call(
        attempt=1,
        status="ok",
        level="plain",
        http_status=http_status,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        latency_s=0.0,
        response_text=None,
    )


def test_the_cost_is_unknown_without_price_or_token_counts() -> None:
    assert cost_pusd(call(200, 100, 10), PRICE) == 100 * 2_000_000 + 10 * 8_000_000
    assert cost_pusd(call(200, 100, 10), None) is None
    assert cost_pusd(call(200, None, None), PRICE) is None
    assert cost_pusd(call(None, None, None), PRICE) is None
    assert cost_pusd(call(429, None, None), None) == 0


def test_the_known_cost_is_complete_with_token_counts_or_for_a_rejected_request() -> None:
    assert cost_of_call(call(200, 100, 10), None) == (Cost(0, 110), True)
    assert cost_of_call(call(400, None, None), PRICE) == (Cost(), True)
    assert cost_of_call(call(200, None, 10), PRICE) == (Cost(0, 10), False)
    assert cost_of_call(call(500, None, None), PRICE) == (Cost(), False)


def test_the_maximum_cost_has_no_money_without_a_price() -> None:
    assert max_cost(PRICE, 100, 10) == Cost(280_000_000, 110)
    assert max_cost(None, 100, 10) == Cost(0, 110)


@pytest.mark.slow
def test_totals_equal_the_calls_and_the_bill(make_billing: MakeBillingBench) -> None:
    bench = make_billing(seed=1)
    job_id = bench.post(bench.vocabulary(NAMES[:40]), strategies=["sentence", "phrases"])
    run_with_workers(bench, job_id)
    assert bench.job(job_id).status == "succeeded"
    assert sums_of_totals(totals_of(bench, job_id)) == sums_of_calls(bench, job_id)
    calls, tokens, spent, unpriced = sums_of_calls(bench, job_id)
    assert (calls, unpriced) == (bench.llm.calls, 0)
    assert (tokens, spent) == (billing_llm(bench).billed_tokens, billing_llm(bench).billed_pusd)
    with bench.db.read() as tx:
        modes = {(mode, ref) for mode, ref in tx.execute(select(LLMCall.mode, LLMCall.strategy).distinct())}
    assert modes == {("live", "sentence@1"), ("live", "phrases@1")}


@pytest.mark.slow
def test_a_rejected_request_is_recorded_and_costs_nothing(make_billing_on_sqlite: MakeBillingBench) -> None:
    bench = make_billing_on_sqlite(seed=7, faults=1.0)
    job = bench.run(bench.vocabulary(NAMES[:4]), budget_tokens=1_000_000)
    with bench.db.read() as tx:
        costs = list(tx.scalars(select(LLMCall.cost_pusd).where(LLMCall.http_status == 429)))
    assert costs
    assert set(costs) == {0}
    assert totals_of(bench, job.id).reserved_tokens == 0


@pytest.mark.slow
def test_an_unknown_price_is_not_zero(make_billing_on_sqlite: MakeBillingBench) -> None:
    bench = make_billing_on_sqlite(seed=8, faults=0.0)
    vocabulary_id = bench.vocabulary(NAMES[:3])
    with pytest.raises(ProblemError, match="budget_tokens") as caught:
        bench.post(vocabulary_id, model="unheard-of", budget_usd="1")
    assert [error.pointer for error in caught.value.errors] == ["/budget_usd"]
    job: Job = bench.run(vocabulary_id, model="unheard-of", budget_tokens=100_000)
    totals = totals_of(bench, job.id)
    assert (job.status, totals.unpriced_calls, totals.is_priced) == ("succeeded", 3, False)
    with bench.db.read() as tx:
        assert set(tx.scalars(select(LLMCall.cost_pusd))) == {None}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["live", "batch"])
def test_totals_equal_the_counts_of_the_server(
    mode: str, sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in server counts its tokens independently."""
    monkeypatch.setattr(batch, "FIRST_POLL_S", 0.0)
    send = Transport.send
    bench = make_bench(sqlite_db, tmp_path, monkeypatch)
    monkeypatch.setattr(Transport, "send", send)
    names = NAMES[:6]
    faults = [{"fault": "rubbish", "label": names[1], "attempts": [0]}, {"fault": "refusal", "label": names[2]}]
    with serve(faults=faults, batch_s=0.0) as llm:
        settings = bench.context.settings.model_copy(update={"llm_base_url": llm.base_url})
        bench.context = Context(settings, sqlite_db, bench.context.artefacts, bench.context.shutting_down)
        job_id = bench.post(bench.vocabulary(names), strategies=["sentence"], mode=mode, budget_tokens=10_000_000)
        run_with_workers(bench, job_id, 1)
        stats = llm.stats()
    totals = totals_of(bench, job_id)
    assert (bench.job(job_id).result or {})["failed_labels"] == {"refused": 1}
    assert (totals.calls, totals.prompt_tokens, totals.completion_tokens, totals.reserved_tokens) == (
        stats["calls"],
        stats["prompt_tokens"],
        stats["completion_tokens"],
        0,
    )
    assert totals.calls == 7
