"""A priced LLM in this process whose bill is known to the token, for the tests of usage and budgets."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from attributes.llm.costs.prices import Price, TokenPrices, load_prices
from attributes.llm.transport import RawResponse, Transport
from store.db import Database
from store.enrich import usage
from store.enrich.usage import UsageTotals
from store.models import LLMCall
from tests.workers.enrich_bench import Bench, InProcessLLM, make_bench
from workers.dispatch import run_enrich
from workers.enrich import budget
from workers.runtime.context import Context

# 2, 0.5 and 8 dollars per million tokens
_TOKEN_PRICES = TokenPrices(
    input=Decimal(2_000_000), cached_input=Decimal(500_000), cache_write=Decimal(2_000_000), output=Decimal(8_000_000)
)
PRICE = Price(live=((-1, _TOKEN_PRICES),), batch=((-1, _TOKEN_PRICES * Decimal("0.5")),))
_PRICES = """
[[price]]
base_url = "http://stand-in/v1"
batch = "0.5"
[price.models]
fieldguide = { input = "2", cached_input = "0.5", output = "8" }
"""


def price_file(folder: Path) -> Path:
    """A price file with the stand-in LLM."""
    path = folder / "prices.toml"
    path.write_text(_PRICES)
    assert load_prices(path).find("fieldguide", "http://stand-in/v1") == PRICE
    return path


class BillingLLM(InProcessLLM):
    """Uses a random number of tokens within the limits of a call, and fails sometimes.

    `faults`: share of failed calls. `unstated`: share of calls without token counts. `billed_pusd` and `billed_tokens`
    count every call, with or without token counts in its response.
    """

    def __init__(self, seed: int = 0, *, faults: float = 0.3, unstated: float = 0.0, latency_s: float = 0.002) -> None:
        super().__init__(latency_s)
        self.random = random.Random(seed)
        self.faults, self.unstated = faults, unstated
        self.billed_pusd = self.billed_tokens = self.num_unstated = 0

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        response = await super().send(body)
        await asyncio.sleep(self.random.uniform(0, self.latency_s))
        if self.random.random() < self.faults / 2:
            return RawResponse(status="rate_limited", http_status=429, retry_after_s=0.001, detail="later")
        prompt, cached = self.random.randint(50, 400), self.random.randint(0, 50)
        completion = self.random.randint(20, body["max_tokens"] if self.random.random() < 0.1 else 120)
        self.billed_pusd += PRICE.cost(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion)
        self.billed_tokens += prompt + completion
        counts: dict[str, int | None] = {
            "prompt_tokens": prompt,
            "cached_tokens": cached,
            "completion_tokens": completion,
        }
        if self.random.random() < self.unstated:
            self.num_unstated += 1
            counts = dict.fromkeys(counts)
        text = "Certainly! Here is" if self.random.random() < self.faults / 2 else response.text
        return RawResponse(status="ok", http_status=200, text=text, **counts)


MakeBillingBench = Callable[..., Bench]


def billing_bench_factory(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeBillingBench:
    """A function that makes a bench with 8 labels per part and a `BillingLLM` with the given arguments."""

    def make(**billing: Any) -> Bench:
        monkeypatch.setattr(budget, "RECHECK_S", 0.02)
        bench = make_bench(db, tmp_path, monkeypatch)
        settings = bench.context.settings.model_copy(update={"prices": price_file(tmp_path), "enrich_chunk": 8})
        llm = BillingLLM(**billing)
        monkeypatch.setattr(Transport, "send", lambda _self, body: llm.send(body))
        bench.context = Context(settings, db, bench.context.artefacts, bench.context.shutting_down)
        bench.llm = llm
        return bench

    return make


def billing_llm(bench: Bench) -> BillingLLM:
    assert isinstance(bench.llm, BillingLLM)
    return bench.llm


def run_with_workers(bench: Bench, job_id: str, num_workers: int = 4) -> None:
    """Run the job in this number of threads."""
    give_up = time.monotonic() + 60

    def work() -> None:
        while bench.job(job_id).finished_at is None and time.monotonic() < give_up:
            if (part := bench.next_part()) is not None:
                run_enrich(bench.context, part.id)
            time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def totals_of(bench: Bench, job_id: str) -> UsageTotals:
    with bench.db.read() as tx:
        totals = usage.totals_of_job(tx, job_id)
    assert totals is not None
    return totals


def sums_of_totals(totals: UsageTotals) -> tuple[int, int, int, int]:
    """Calls, tokens, pico-dollars and calls without a price, as the job's totals have them."""
    tokens = totals.prompt_tokens + totals.completion_tokens
    return totals.calls, tokens, totals.spent_pusd, totals.unpriced_calls


def sums_of_calls(bench: Bench, job_id: str) -> tuple[int, int, int, int]:
    """The same, summed over the job's calls."""
    tokens = func.sum(func.coalesce(LLMCall.prompt_tokens, 0) + func.coalesce(LLMCall.completion_tokens, 0))
    with bench.db.read() as tx:
        row = tx.execute(
            select(
                func.count(),
                tokens,
                func.coalesce(func.sum(LLMCall.cost_pusd), 0),
                func.count().filter(LLMCall.cost_pusd.is_(None)),
            ).where(LLMCall.job_id == job_id)
        ).one()
    return row[0], int(row[1] or 0), int(row[2]), row[3]
