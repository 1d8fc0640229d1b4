"""Budgets of enrich jobs: several workers together never exceed one, and unused reservations are released."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from limbeck.shared.money import pusd_from_usd
from store.enrich import usage
from store.enrich.usage import Cost
from store.jobs import claims
from store.lifecycle import transitions
from store.models import Part
from tests.workers import enrich_bench
from tests.workers.billing import (
    MakeBillingBench,
    billing_llm,
    run_with_workers,
    sums_of_calls,
    sums_of_totals,
    totals_of,
)
from workers.enrich import budget

NAMES = [f"{name} {n}" for n in range(2) for name in enrich_bench.NAMES]


@pytest.mark.slow
@pytest.mark.parametrize(("cap", "seed"), [("usd", 2), ("tokens", 3)])
def test_four_workers_never_exceed_the_budget(
    make_billing: MakeBillingBench, seed: int, cap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "CALLS_PER_BLOCK", 4)
    bench = make_billing(seed=seed, unstated=0.05)
    caps: dict[str, Any] = {"budget_usd": "0.15"} if cap == "usd" else {"budget_tokens": 60_000}
    job_id = bench.post(bench.vocabulary(NAMES), strategies=["sentence", "phrases"], **caps)
    run_with_workers(bench, job_id)
    job, totals, llm = bench.job(job_id), totals_of(bench, job_id), billing_llm(bench)
    assert (job.status, (job.error or {})["code"]) == ("failed", "budget_spent")
    if cap == "usd":
        assert llm.billed_pusd <= pusd_from_usd(Decimal("0.15"))
        assert totals.spent_pusd + totals.reserved_pusd <= pusd_from_usd(Decimal("0.15"))
        assert llm.billed_pusd > pusd_from_usd(Decimal("0.05"))
    else:
        assert llm.billed_tokens <= 60_000
        assert totals.prompt_tokens + totals.completion_tokens + totals.reserved_tokens <= 60_000
        assert llm.billed_tokens > 20_000
    assert sums_of_totals(totals) == sums_of_calls(bench, job_id)
    assert totals.unpriced_calls == llm.num_unstated
    result = job.result or {}
    assert 0 < result["num_described"] < len(NAMES)
    assert result["attribute_set_id"] in (job.error or {})["message"]
    assert f"{len(NAMES) - result['num_described']} of {len(NAMES)} labels" in (job.error or {})["message"]
    assert result["failed_labels"]["budget_spent"] > 0
    assert sum(bool(lines) for lines in bench.lines(job)) == result["num_described"]


@pytest.mark.slow
def test_with_a_larger_budget_only_the_rest_is_sent(make_billing_on_sqlite: MakeBillingBench) -> None:
    bench = make_billing_on_sqlite(seed=4, faults=0.0)
    vocabulary_id = bench.vocabulary(NAMES[:40])
    first = bench.run(vocabulary_id, budget_tokens=12_000)
    assert first.status == "failed"
    num_described = (first.result or {})["num_described"]
    calls = bench.llm.calls
    assert num_described == calls  # responses in flight when the budget was spent are kept too
    second = bench.run(vocabulary_id, budget_tokens=1_000_000)
    assert (second.status, bench.llm.calls - calls) == ("succeeded", 40 - num_described)
    assert totals_of(bench, second.id).reserved_tokens == 0


@pytest.mark.slow
def test_calls_with_unknown_usage_count_their_reservation(make_billing: MakeBillingBench) -> None:
    bench = make_billing(seed=5, faults=0.0, unstated=1.0)
    job = bench.run(bench.vocabulary(NAMES[:40]), budget_usd="0.1")
    totals = totals_of(bench, job.id)
    assert (job.error or {})["code"] == "budget_spent"
    assert totals.unpriced_calls == totals.calls == bench.llm.calls > 0
    assert (totals.spent_pusd, totals.is_priced) == (0, False)
    assert totals.calls < 40
    assert pusd_from_usd(Decimal("0.05")) < totals.reserved_pusd <= pusd_from_usd(Decimal("0.1"))
    assert "unknown usage" in (job.error or {})["message"]


def test_the_reservation_of_a_dead_worker_counts_as_spent(make_billing: MakeBillingBench) -> None:
    bench = make_billing(seed=6, faults=0.0)
    job_id = bench.post(bench.vocabulary(NAMES[:20]), budget_tokens=100_000)
    with bench.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=0.0)
        assert claim is not None
        usage.set_holds_budget(tx, claim, holds=True)
        assert usage.reserve(tx, job_id, Cost(0, 95_000))
        tx.execute(update(Part).where(Part.id == claim.part_id).values(lease_expires_at=0.0))
        transitions.requeue_expired(tx, max_attempts=4)
        tx.execute(update(Part).values(not_before=0.0))
    bench.work()
    job, totals = bench.job(job_id), totals_of(bench, job_id)
    assert (job.error or {})["code"] == "budget_spent"
    assert totals.reserved_tokens == 95_000
    assert totals.prompt_tokens + totals.completion_tokens <= 5_000


@pytest.mark.slow
def test_blocks_need_few_transactions(
    make_billing_on_sqlite: MakeBillingBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_billing_on_sqlite(seed=9, faults=0.0)
    reservations = []
    reserve = usage.reserve
    monkeypatch.setattr(usage, "reserve", lambda *args: reservations.append(1) or reserve(*args))
    job = bench.run(bench.vocabulary(NAMES[:40]), budget_tokens=10_000_000)
    assert job.status == "succeeded"
    assert len(reservations) <= 2 * 5  # 5 parts of 8 labels
