"""A chunk of an enrich job: ask the LLM about each label that has no result yet, and commit each answer as it comes.

A chunk that is begun again finds the results of the last attempt and asks for the rest; a label whose question was
answered for any earlier job is not asked about at all.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy.orm import Session

from attributes.client import Call, Enricher, FatalLLMError, LLMSettings, Outcome, Tally
from attributes.strategy import StrategyError, load_strategy
from attributes.types import Label
from store import enrichment, jobs
from store.attribute_sets import EntryContent
from store.errors import LeaseLost
from store.jobs import Claim
from store.settings import Settings
from workers.context import Context
from workers.errors import JobFailed, Stopped
from workers.lease import Keeper
from workers.parts import Publish


def describe(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part. Raises `JobFailed` where no call can succeed, and `Stopped`."""
    try:
        strategy = load_strategy(claim.job_spec["strategy"])
        llm = _llm(context.settings, claim.job_spec["model"])
    except (StrategyError, ValueError) as error:
        raise JobFailed("enrich_misconfigured", str(error)) from error
    chunk = _Chunk(context, claim, keeper)
    tally = asyncio.run(chunk.run(Enricher(llm, strategy, claim.job_spec["domain"])))
    if tally.stopped:
        raise Stopped
    return lambda _tx: {"labels": chunk.total}


def _llm(settings: Settings, model: str) -> LLMSettings:
    return LLMSettings(
        base_url=settings.llm_base_url, model=model, api_key=settings.llm_api_key,
        temperature=settings.llm_temperature, max_tokens=settings.llm_max_tokens, timeout_s=settings.llm_timeout_s,
        max_attempts=settings.llm_max_attempts, concurrency=settings.llm_concurrency,
    )  # fmt: skip


class _Chunk:
    """One attempt at a part: which labels it asks about, and what it writes of each."""

    def __init__(self, context: Context, claim: Claim, keeper: Keeper) -> None:
        self.total = claim.spec["stop"] - claim.spec["start"]
        self._context, self._claim, self._keeper = context, claim, keeper
        self._positions: dict[Label, int] = {}
        self._asked = 0

    async def run(self, enricher: Enricher) -> Tally:
        """Ask for what is missing."""
        with self._context.db.read() as tx:
            rows = enrichment.missing(tx, self._claim)
        self._positions = {Label(row.name, row.sense): row.position for row in rows}
        keys = {label: enricher.key_of(label) for label in self._positions}
        with self._context.db.write() as tx:
            jobs.check(tx, self._claim)
            known = enrichment.known_answers(tx, list(keys.values()))
            found = [(self._positions[label], known[key]) for label, key in keys.items() if key in known]
            enrichment.record_results(tx, self._claim, found)
        to_ask = [label for label, key in keys.items() if key not in known]
        done_before, began = self.total - len(to_ask), time.monotonic()
        self._keeper.progress(done_before, self.total, "labels")

        async def on_outcome(outcome: Outcome) -> None:
            await asyncio.to_thread(self._record, enricher, outcome)
            if outcome.reason != "stopped":
                self._asked += 1
                rate = self._asked / (time.monotonic() - began)
                self._keeper.progress(done_before + self._asked, self.total, "labels", rate)

        try:
            return await enricher.describe_all(to_ask, on_outcome=on_outcome, should_stop=self._keeper.should_stop)
        except FatalLLMError as error:
            raise JobFailed(error.code, error.message) from error
        finally:
            await enricher.close()

    def _record(self, enricher: Enricher, outcome: Outcome) -> None:
        """Commit what the label came to. Its calls and answer stay even where the part is another's by now: they are
        paid for."""
        try:
            with self._context.db.write() as tx:
                jobs.check(tx, self._claim)
                self._keep(tx, enricher, outcome)
                self._conclude(tx, outcome)
        except LeaseLost:
            with self._context.db.write() as tx:
                self._keep(tx, enricher, outcome)
            raise
        if outcome.entry is None and outcome.reason != "stopped":
            self._keeper.note(
                f'no attributes for "{outcome.label}": {outcome.reason}', level="warning",
                position=self._positions[outcome.label], reason=outcome.reason, detail=outcome.detail,
            )  # fmt: skip

    def _keep(self, tx: Session, enricher: Enricher, outcome: Outcome) -> None:
        llm, at = enricher.settings, self._positions[outcome.label]
        calls = _ledger(enricher, outcome.calls)
        enrichment.record_calls(tx, self._claim, position=at, key=outcome.key, calls=calls)
        if outcome.entry is not None:
            provenance = {"answer": outcome.key, "strategy": enricher.strategy.ref, "model": llm.model}
            entry = cast(EntryContent, {**outcome.entry.as_json(), "provenance": provenance})
            enrichment.record_answer(
                tx, key=outcome.key, entry=entry, model=llm.model, base_url=llm.base_url,
                strategy=enricher.strategy.ref, messages=outcome.messages, answer=outcome.answer or "",
            )  # fmt: skip

    def _conclude(self, tx: Session, outcome: Outcome) -> None:
        at = self._positions[outcome.label]
        if outcome.entry is not None:
            known = enrichment.known_answers(tx, [outcome.key])  # another job's answer, where that was first
            enrichment.record_results(tx, self._claim, [(at, known[outcome.key])])
        elif outcome.reason != "stopped":
            reason = outcome.reason or "unknown"
            enrichment.record_failure(tx, self._claim, position=at, reason=reason, detail=outcome.detail)


def _ledger(enricher: Enricher, calls: Sequence[Call]) -> list[Mapping[str, Any]]:
    """The calls as the ledger keeps them: all but the answers' text, which stands with the answers."""
    return [
        {
            "model": enricher.settings.model, "attempt": call.attempt, "status": call.status,
            "http_status": call.http_status, "prompt_tokens": call.prompt_tokens,
            "completion_tokens": call.completion_tokens, "latency_s": call.latency_s,
        }
        for call in calls
    ]  # fmt: skip
