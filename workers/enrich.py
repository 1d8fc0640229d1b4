"""A chunk of an enrich job: ask the LLM about each label that has no result yet, and commit each answer as it comes.

A chunk that is begun again finds the results of the last attempt and asks for the rest; a label whose question was
answered for any earlier job is not asked about at all.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, cast

from attributes.client import Enricher, FatalLLMError, LLMSettings, Outcome
from attributes.strategy import cache_key, load_strategy, request_for
from attributes.types import Label
from store import enrichment, jobs
from store.attribute_sets import EntryContent
from store.jobs import Claim
from workers.context import Context
from workers.errors import JobFailed, Stopped
from workers.lease import Keeper
from workers.parts import Publish


def describe(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part. Raises `JobFailed` where no call can succeed, and `Stopped`."""
    num_labels = asyncio.run(_describe(context, claim, keeper))
    return lambda _tx: {"labels": num_labels}


async def _describe(context: Context, claim: Claim, keeper: Keeper) -> int:
    settings, spec = context.settings, claim.job_spec
    llm = LLMSettings(
        base_url=settings.llm_base_url, model=spec["model"], api_key=settings.llm_api_key.get_secret_value(),
        temperature=settings.llm_temperature, max_tokens=settings.llm_max_tokens, timeout_s=settings.llm_timeout_s,
        max_attempts=settings.llm_max_attempts, concurrency=settings.llm_concurrency,
    )  # fmt: skip
    strategy = load_strategy(spec["strategy"])
    with context.db.read() as tx:
        rows = enrichment.missing(tx, claim)
    labels = {row.position: Label(row.name, row.sense) for row in rows}
    requests = {at: request_for(strategy, label, spec["domain"]) for at, label in labels.items()}
    keys = {
        at: cache_key(
            request, model=llm.model, base_url=llm.base_url, temperature=llm.temperature, max_tokens=llm.max_tokens
        )
        for at, request in requests.items()
    }
    with context.db.write() as tx:
        jobs.check(tx, claim)
        known = enrichment.known_answers(tx, list(keys.values()))
        enrichment.record_results(tx, claim, [(at, known[key]) for at, key in keys.items() if key in known])
    to_ask = [at for at, key in keys.items() if key not in known]

    total = claim.spec["stop"] - claim.spec["start"]
    done = total - len(to_ask)
    began = time.monotonic()
    asked = 0

    def record(at: int, outcome: Outcome) -> None:
        calls = [_ledger_row(llm.model, call) for call in outcome.calls]
        with context.db.write() as tx:
            enrichment.record_calls(tx, claim, position=at, key=keys[at], calls=calls)
        with context.db.write() as tx:
            jobs.check(tx, claim)
            if outcome.entry is None:
                reason, detail = outcome.reason or "unknown", outcome.detail or ""
                enrichment.record_failure(tx, claim, position=at, reason=reason, detail=detail)
            else:
                entry = outcome.entry.as_json()
                provenance = {"answer": keys[at], "strategy": strategy.ref, "model": llm.model}
                enrichment.record_answer(
                    tx, claim, position=at, key=keys[at], entry=cast(EntryContent, {**entry, "provenance": provenance}),
                    model=llm.model, base_url=llm.base_url, strategy=strategy.ref,
                    messages=list(requests[at].messages), answer=outcome.calls[-1].answer_text or "",
                )  # fmt: skip

    async def ask_in_turn(waiting: Iterator[int], enricher: Enricher) -> None:
        nonlocal done, asked
        for at in waiting:
            if keeper.should_stop():
                return
            outcome = await enricher.describe(labels[at])
            await asyncio.to_thread(record, at, outcome)
            if outcome.entry is None:
                keeper.note(
                    f'no attributes for "{labels[at]}": {outcome.reason}', level="warning", position=at,
                    reason=outcome.reason, detail=outcome.detail,
                )  # fmt: skip
            done, asked = done + 1, asked + 1
            keeper.progress(done, total, "labels", asked / (time.monotonic() - began))

    keeper.progress(done, total, "labels")
    waiting = iter(to_ask)
    enricher = Enricher(llm, strategy, spec["domain"])
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(llm.concurrency, len(to_ask))):
                group.create_task(ask_in_turn(waiting, enricher))
    except* FatalLLMError as faults:
        fault = faults.exceptions[0]
        while isinstance(fault, BaseExceptionGroup):
            fault = fault.exceptions[0]
        assert isinstance(fault, FatalLLMError)
        raise JobFailed(fault.code, str(fault)) from None
    finally:
        await enricher.close()
    if done < total:
        raise Stopped
    return total


def _ledger_row(model: str, call: Any) -> dict[str, Any]:
    """A call as the ledger keeps it: all but the answer's text, which stands with the answer."""
    row = asdict(call)
    kept = ("attempt", "status", "http_status", "prompt_tokens", "completion_tokens", "latency_s")
    return {"model": model, **{name: row[name] for name in kept}}
