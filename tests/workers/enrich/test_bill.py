"""The bill of a job over a real socket: the ledger has every token that the server bills, and never more than the
estimate's maximum, for any response of the server."""

import json
import random
import threading
from decimal import Decimal
from pathlib import Path

import pytest

from api.jobs.estimates import estimate_plan
from api.jobs.plan_enrich import EnrichIn, plan_enrich
from attributes.llm.transport import Transport
from limbeck.shared.money import usd_from_pusd
from store.db import Database
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_request,
    error_response,
)
from tests.workers.billing import PRICE, sums_of_calls, sums_of_totals, totals_of
from tests.workers.enrich_bench import NAMES, Bench, make_bench
from workers.runtime.context import Context

# The prices of `tests.workers.billing.PRICE`.
_PRICES = """
[[price]]
base_url = "{url}"
batch = "0.5"
[price.models]
fieldguide = {{ input = "2", cached_input = "0.5", output = "8" }}
"""


class BillingServer:
    """A script for `FakeLLM` that bills a random number of tokens within what a request allows, and errs at random.

    `share`: how likely a response is faulty. `is_greedy`: a token for each byte of the prompt, and the whole limit of
    each response.
    """

    def __init__(self, seed: int, *, share: float, is_greedy: bool) -> None:
        self._random, self._share, self._is_greedy = random.Random(seed), share, is_greedy
        self._lock = threading.Lock()
        self.billed_pusd = self.billed_tokens = self.num_repairs = 0

    def __call__(self, request: FakeRequest, _index: int) -> FakeResponse:
        with self._lock:
            return self._respond(request)

    def _respond(self, request: FakeRequest) -> FakeResponse:
        chance = self._random.random
        self.num_repairs += "You were asked this before" in request.prompt
        if not self._is_greedy and chance() < self._share / 4:
            status = self._random.choice((429, 500, 503))
            return error_response(status, headers={"retry-after-ms": "1"})  # these cost nothing
        limit = request.body.get("max_tokens") or request.body["max_completion_tokens"]
        reasoning = self._random.randint(0, limit // 2) if chance() < 0.3 else 0
        content: object = content_for_request(request)
        finish = "stop"
        if chance() < self._share:
            content, finish = self._random.choice(
                [("Certainly! Here is", "stop"), ({"label": "?"}, "stop"), (None, "length"), ("", "stop")]
            )
        used = (
            limit if self._is_greedy or finish == "length" else self._random.randint(1, limit - reasoning) + reasoning
        )
        return FakeResponse(body=completion(content, finish=finish) | {"usage": self._bill(request, used, reasoning)})

    def _bill(self, request: FakeRequest, completion_tokens: int, reasoning: int) -> dict[str, object]:
        schema = json.dumps(request.body.get("response_format", ""), ensure_ascii=False)
        num_bytes = len(f"{request.prompt}{schema}".encode())
        prompt_tokens = num_bytes if self._is_greedy else self._random.randint(1, num_bytes)
        cached = 0 if self._is_greedy else self._random.randint(0, prompt_tokens)
        self.billed_tokens += prompt_tokens + completion_tokens
        self.billed_pusd += PRICE.cost(
            prompt_tokens=prompt_tokens, cached_tokens=cached, completion_tokens=completion_tokens
        )
        return {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": reasoning},
        }


@pytest.fixture
def bench(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench whose calls go through a real socket."""
    send = Transport.send
    bench = make_bench(sqlite_db, tmp_path, monkeypatch)
    monkeypatch.setattr(Transport, "send", send)
    return bench


def connect(bench: Bench, url: str, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(_PRICES.format(url=url))
    settings = bench.context.settings.model_copy(update={"llm_base_url": url, "prices": prices})
    bench.context = Context(settings, bench.db, bench.context.artefacts, bench.context.shutting_down)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "share", "is_greedy"), [(1, 0.4, False), (2, 0.5, True), (3, 1.0, True)])
def test_the_ledger_is_the_bill_and_never_above_the_maximum(
    seed: int, share: float, is_greedy: bool, bench: Bench, tmp_path: Path
) -> None:
    server = BillingServer(seed, share=share, is_greedy=is_greedy)
    names = [*NAMES[:4], "Ein sehr langer Name mit Umlauten: Rötlichgelber Hügelläufer", "鶴"]
    with FakeLLM(server) as llm:
        connect(bench, llm.url, tmp_path)
        fields = {"strategies": ["sentence", "phrases"], "mend_rounds": 1, "language": "German"}
        vocabulary_id = bench.vocabulary(names)
        request = EnrichIn.model_validate({"kind": "enrich", "vocabulary_id": vocabulary_id, **fields})
        with bench.db.read() as tx:
            settings = bench.context.settings
            estimate = estimate_plan(tx, plan_enrich(tx, request, settings))
        job_id = bench.post(vocabulary_id, **fields)
        bench.work()
    totals = totals_of(bench, job_id)
    assert sums_of_totals(totals) == sums_of_calls(bench, job_id)
    assert (totals.prompt_tokens + totals.completion_tokens, totals.spent_pusd) == (
        server.billed_tokens,
        server.billed_pusd,
    )
    assert estimate.usd is not None
    assert usd_from_pusd(server.billed_pusd) <= Decimal(estimate.usd.at_most)
    assert totals.prompt_tokens <= estimate.prompt_tokens.at_most
    assert totals.completion_tokens <= estimate.completion_tokens.at_most
    # Less would not bound this bill: the estimate of one call per question is no maximum.
    assert not is_greedy or usd_from_pusd(server.billed_pusd) > Decimal(estimate.usd.without_repeats)
    assert share == 1.0 or server.num_repairs
    statuses = (bench.job(job_id).result or {})["calls_by_status"]
    assert sum(statuses.values()) == totals.calls
    assert set(statuses) - {"ok"}


@pytest.mark.slow
@pytest.mark.quirk(
    "any server",
    "nearly valid JSON (a trailing comma)",
    "it is repaired without a second paid call, and counted in the job's usage",
)
def test_repaired_responses_and_repeated_calls_are_counted(bench: Bench, tmp_path: Path) -> None:
    nearly_valid = '{"label": "%s", "sentence": "The %s is round and red.",}'

    def script(request: FakeRequest, _index: int) -> FakeResponse:
        name = request.subject["label"]
        if name == NAMES[0] and "last answer" not in request.prompt:
            return FakeResponse(body=completion({"label": name}))
        return FakeResponse(body=completion(nearly_valid % (name, name)))

    with FakeLLM(script) as llm:
        connect(bench, llm.url, tmp_path)
        job = bench.run(bench.vocabulary(NAMES[:3]), strategies=["sentence"])
    totals = totals_of(bench, job.id)
    assert (job.result or {})["num_described"] == 3
    assert (totals.calls, totals.repeated_calls, totals.repaired_responses) == (4, 1, 3)
