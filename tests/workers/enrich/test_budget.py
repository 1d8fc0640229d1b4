"""What enrich jobs spend: the ledger adds up, and a cap holds whatever four workers do at once. On both databases."""

import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from api.http.problems import ProblemError
from attributes.llm.prices import pusd_from_usd
from attributes.llm.transport import Transport
from examples.fieldguide.llm_server import serve
from examples.fieldguide.world import species
from store.db import Database
from store.enrich import usage
from store.enrich.usage import Cost, UsageTotals
from store.jobs import claims
from store.lifecycle import transitions
from store.models import Job, JobUsage, LLMCall, Part
from tests.workers.billing import BillingLLM, price_file
from tests.workers.enrich_bench import Bench, make_bench
from workers.dispatch import run_enrich
from workers.enrich import batch, budget
from workers.runtime.context import Context

NAMES = [f"{one.name} {n}" for n in range(2) for one in species()]
Begin = Callable[..., Bench]


@pytest.fixture
def begin(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    return beginning(db, tmp_path, monkeypatch)


@pytest.fixture
def begin_on_sqlite(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """For what asks the database nothing new."""
    return beginning(sqlite_db, tmp_path, monkeypatch)


def beginning(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    def made(**billing: Any) -> Bench:
        monkeypatch.setattr(budget, "RECHECK_S", 0.02)
        here = make_bench(db, tmp_path, monkeypatch)
        settings = here.context.settings.model_copy(update={"prices": price_file(tmp_path), "enrich_chunk": 8})
        llm = BillingLLM(**billing)
        monkeypatch.setattr(Transport, "send", lambda _self, body: llm.send(body))
        here.context = Context(settings, db, here.context.artefacts, here.context.shutting_down)
        here.llm = llm
        return here

    return made


def billing(here: Bench) -> BillingLLM:
    assert isinstance(here.llm, BillingLLM)
    return here.llm


def with_workers(here: Bench, job_id: str, num_workers: int = 4) -> None:
    """Run the job in so many threads."""
    give_up = time.monotonic() + 60

    def work() -> None:
        while here.job(job_id).finished_at is None and time.monotonic() < give_up:
            if (part := here.next_part()) is not None:
                run_enrich(here.context, part.id)
            time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def sums(here: Bench, job_id: str) -> UsageTotals:
    with here.db.read() as tx:
        found = usage.totals_of_job(tx, job_id)
    assert found is not None
    return found


def ledger(here: Bench, job_id: str) -> tuple[int, int, int, int]:
    """Calls, tokens, pico-dollars and calls without a price, added up."""
    tokens = func.sum(func.coalesce(LLMCall.prompt_tokens, 0) + func.coalesce(LLMCall.completion_tokens, 0))
    with here.db.read() as tx:
        row = tx.execute(
            select(
                func.count(),
                tokens,
                func.coalesce(func.sum(LLMCall.cost_pusd), 0),
                func.count().filter(LLMCall.cost_pusd.is_(None)),
            ).where(LLMCall.job_id == job_id)
        ).one()
    return row[0], int(row[1] or 0), int(row[2]), row[3]


def of_sums(found: UsageTotals) -> tuple[int, int, int, int]:
    return found.calls, found.prompt_tokens + found.completion_tokens, found.spent_pusd, found.unpriced_calls


def test_the_ledger_adds_up_to_what_was_billed(begin: Begin) -> None:
    here = begin(seed=1)
    job_id = here.post(here.vocabulary(NAMES[:40]), strategies=["sentence", "phrases"])
    with_workers(here, job_id)
    assert here.job(job_id).status == "succeeded"
    assert of_sums(sums(here, job_id)) == ledger(here, job_id)
    calls, tokens, spent, unpriced = ledger(here, job_id)
    assert (calls, unpriced) == (here.llm.calls, 0)
    assert (tokens, spent) == (billing(here).billed_tokens, billing(here).billed_pusd)
    with here.db.read() as tx:
        modes = {(mode, ref) for mode, ref in tx.execute(select(LLMCall.mode, LLMCall.strategy).distinct())}
    assert modes == {("live", "sentence@1"), ("live", "phrases@1")}


@pytest.mark.parametrize(("cap", "seed"), [("usd", 2), ("tokens", 3)])
def test_four_workers_never_exceed_the_cap(begin: Begin, seed: int, cap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "CALLS_PER_BLOCK", 4)
    here = begin(seed=seed, unstated=0.05)
    capped: dict[str, Any] = {"budget_usd": "0.15"} if cap == "usd" else {"budget_tokens": 60_000}
    job_id = here.post(here.vocabulary(NAMES), strategies=["sentence", "phrases"], **capped)
    with_workers(here, job_id)
    job, found, llm = here.job(job_id), sums(here, job_id), billing(here)
    assert (job.status, (job.error or {})["code"]) == ("failed", "budget_spent")
    if cap == "usd":
        assert llm.billed_pusd <= pusd_from_usd(Decimal("0.15"))
        assert found.spent_pusd + found.reserved_pusd <= pusd_from_usd(Decimal("0.15"))
        assert llm.billed_pusd > pusd_from_usd(Decimal("0.05"))
    else:
        assert llm.billed_tokens <= 60_000
        assert found.prompt_tokens + found.completion_tokens + found.reserved_tokens <= 60_000
        assert llm.billed_tokens > 20_000
    assert of_sums(found) == ledger(here, job_id)
    assert found.unpriced_calls == llm.num_unstated
    result = job.result or {}
    assert 0 < result["num_described"] < len(NAMES)
    assert result["attribute_set_id"] in (job.error or {})["message"]
    assert f"{len(NAMES) - result['num_described']} of {len(NAMES)} labels" in (job.error or {})["message"]
    assert result["failed_labels"]["budget_spent"] > 0
    assert sum(bool(lines) for lines in here.lines(job)) == result["num_described"]


def test_with_more_money_the_rest_alone_is_asked(begin_on_sqlite: Begin) -> None:
    here = begin_on_sqlite(seed=4, faults=0.0)
    vocabulary_id = here.vocabulary(NAMES[:40])
    first = here.run(vocabulary_id, budget_tokens=12_000)
    assert first.status == "failed"
    kept = (first.result or {})["num_described"]
    calls = here.llm.calls
    assert kept == calls  # what was in flight when the budget ended was kept, too
    second = here.run(vocabulary_id, budget_tokens=1_000_000)
    assert (second.status, here.llm.calls - calls) == ("succeeded", 40 - kept)
    assert sums(here, second.id).reserved_tokens == 0  # all that was set aside came back


def test_a_server_that_states_no_usage_counts_what_was_set_aside(begin: Begin) -> None:
    here = begin(seed=5, faults=0.0, unstated=1.0)
    job = here.run(here.vocabulary(NAMES[:40]), budget_usd="0.1")
    found = sums(here, job.id)
    assert (job.error or {})["code"] == "budget_spent"
    assert found.unpriced_calls == found.calls == here.llm.calls > 0
    assert (found.spent_pusd, found.is_priced) == (0, False)
    assert found.calls < 40
    assert pusd_from_usd(Decimal("0.05")) < found.reserved_pusd <= pusd_from_usd(Decimal("0.1"))
    assert "unknown usage" in (job.error or {})["message"]


def test_what_a_worker_that_died_had_set_aside_counts_as_spent(begin: Begin) -> None:
    here = begin(seed=6, faults=0.0)
    job_id = here.post(here.vocabulary(NAMES[:20]), budget_tokens=100_000)
    with here.db.write() as tx:
        claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="w", lease_s=0.0)
        assert claim is not None
        usage.set_holds_budget(tx, claim, holds=True)
        assert usage.reserve(tx, job_id, Cost(0, 95_000))
        tx.execute(update(Part).where(Part.id == claim.part_id).values(lease_expires_at=0.0))
        transitions.requeue_expired(tx, max_attempts=4)
    here.work()
    job, found = here.job(job_id), sums(here, job_id)
    assert (job.error or {})["code"] == "budget_spent"
    assert found.reserved_tokens == 95_000
    assert found.prompt_tokens + found.completion_tokens <= 5_000


def test_a_refused_request_costs_nothing_and_is_in_the_ledger(begin_on_sqlite: Begin) -> None:
    here = begin_on_sqlite(seed=7, faults=1.0)
    job = here.run(here.vocabulary(NAMES[:4]), budget_tokens=1_000_000)
    with here.db.read() as tx:
        costs = list(tx.scalars(select(LLMCall.cost_pusd).where(LLMCall.http_status == 429)))
    assert costs
    assert set(costs) == {0}
    assert sums(here, job.id).reserved_tokens == 0


def test_an_unknown_price_is_unknown(begin_on_sqlite: Begin) -> None:
    here = begin_on_sqlite(seed=8, faults=0.0)
    vocabulary_id = here.vocabulary(NAMES[:3])
    with pytest.raises(ProblemError, match="budget_tokens") as caught:
        here.post(vocabulary_id, model="unheard-of", budget_usd="1")
    assert [error.pointer for error in caught.value.errors] == ["/budget_usd"]
    job: Job = here.run(vocabulary_id, model="unheard-of", budget_tokens=100_000)
    found = sums(here, job.id)
    assert (job.status, found.unpriced_calls, found.is_priced) == ("succeeded", 3, False)
    with here.db.read() as tx:
        assert set(tx.scalars(select(LLMCall.cost_pusd))) == {None}


def test_blocks_cost_few_transactions(begin_on_sqlite: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    here = begin_on_sqlite(seed=9, faults=0.0)
    asked = []
    reserve = usage.reserve
    monkeypatch.setattr(usage, "reserve", lambda *given: asked.append(1) or reserve(*given))
    job = here.run(here.vocabulary(NAMES[:40]), budget_tokens=10_000_000)
    assert job.status == "succeeded"
    assert len(asked) <= 2 * 5  # parts of 8 labels


def test_every_enrich_job_has_its_sums(begin_on_sqlite: Begin) -> None:
    here = begin_on_sqlite(seed=10)
    job_id = here.post(here.vocabulary(NAMES[:4]), strategies=["sentence", "phrases"])
    mended = here.post(here.vocabulary(NAMES[:4]), strategies=["sentence", "phrases"], mend_rounds=1)
    with here.db.read() as tx:
        assert tx.get_one(JobUsage, job_id).plan == {"describe": [4, 2]}
        assert tx.get_one(JobUsage, mended).plan == {"describe": [4, 2], "correct": [0, 1]}


@pytest.mark.parametrize("mode", ["live", "batch"])
def test_the_ledger_agrees_with_the_server(
    mode: str, sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in counts what it bills, by itself."""
    monkeypatch.setattr(batch, "FIRST_POLL_S", 0.0)
    send = Transport.send
    here = make_bench(sqlite_db, tmp_path, monkeypatch)
    monkeypatch.setattr(Transport, "send", send)
    names = [one.name for one in species()][:6]
    faults = [{"fault": "rubbish", "label": names[1], "attempts": [0]}, {"fault": "refusal", "label": names[2]}]
    with serve(faults=faults, batch_s=0.0) as llm:
        settings = here.context.settings.model_copy(update={"llm_base_url": llm.base_url})
        here.context = Context(settings, sqlite_db, here.context.artefacts, here.context.shutting_down)
        job_id = here.post(here.vocabulary(names), strategies=["sentence"], mode=mode, budget_tokens=10_000_000)
        with_workers(here, job_id, 1)
        stats = llm.stats()
    found = sums(here, job_id)
    assert (here.job(job_id).result or {})["failed_labels"] == {"refused": 1}
    assert (found.calls, found.prompt_tokens, found.completion_tokens, found.reserved_tokens) == (
        stats["calls"],
        stats["prompt_tokens"],
        stats["completion_tokens"],
        0,
    )
    assert found.calls == 7
