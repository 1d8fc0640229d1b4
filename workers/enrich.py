"""A chunk of an enrich job: ask the LLM about each label that has no result yet, and commit each answer as it comes.

A chunk that is begun again finds the results of the last attempt and asks for the rest; a label whose question was
answered for any earlier job is not asked about at all.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from attributes.asks import Ask, key_of
from attributes.client import Call, Enricher, FatalLLMError, LLMSettings, Outcome, Tally
from attributes.strategy import StrategyError, load_strategy
from attributes.types import Label
from store import enrichment, jobs
from store.enrichment import Answered
from store.errors import LeaseLost
from store.jobs import Claim
from store.settings import Settings
from workers.context import Context
from workers.errors import JobFailed, Stopped
from workers.lease import Keeper
from workers.parts import Publish

_STEP = 0


def describe(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part. Raises `JobFailed` where no call can succeed, and `Stopped`."""
    try:
        strategy = load_strategy(claim.job_spec["strategy"])
        llm = _llm(context.settings, claim.job_spec["model"])
    except (StrategyError, ValueError) as error:
        raise JobFailed("enrich_misconfigured", str(error)) from error
    chunk = _Chunk(context, claim, keeper)
    tally = asyncio.run(chunk.run(Enricher(llm), lambda label: Ask(strategy, label, claim.job_spec["domain"])))
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

    async def run(self, enricher: Enricher, ask_about: Callable[[Label], Ask]) -> Tally:
        """Ask for what is missing."""
        with self._context.db.read() as tx:
            ended = {position for position, _ in enrichment.ended(tx, self._claim, step=_STEP)}
            rows = [row for row in enrichment.labels_of(tx, self._claim) if row.position not in ended]
        self._positions = {Label(row.name, row.sense): row.position for row in rows}
        keys = {label: key_of(ask_about(label), enricher.settings) for label in self._positions}
        with self._context.db.write() as tx:
            jobs.check(tx, self._claim)
            known = enrichment.known_answers(tx, list(keys.values()))
            found = [
                Answered(step=_STEP, position=self._positions[label], key=key)
                for label, key in keys.items()
                if key in known
            ]
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
            asks = map(ask_about, to_ask)
            return await enricher.ask_all(asks, on_outcome=on_outcome, should_stop=self._keeper.should_stop)
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
        if outcome.reason is not None and outcome.reason != "stopped":
            self._keeper.note(
                f'no attributes for "{outcome.ask.label}": {outcome.reason}', level="warning",
                position=self._positions[outcome.ask.label], reason=outcome.reason, detail=outcome.detail,
            )  # fmt: skip

    def _keep(self, tx: Session, enricher: Enricher, outcome: Outcome) -> None:
        at = self._positions[outcome.ask.label]
        enrichment.record_calls(tx, self._claim, _ledger(enricher, at, outcome))
        if outcome.reason is None:
            enrichment.record_answers(tx, [_answer(enricher, outcome)])

    def _conclude(self, tx: Session, outcome: Outcome) -> None:
        at = self._positions[outcome.ask.label]
        if outcome.reason is None:
            enrichment.record_results(tx, self._claim, [Answered(step=_STEP, position=at, key=outcome.key)])
        elif outcome.reason != "stopped":
            enrichment.record_failure(
                tx, self._claim, step=_STEP, position=at, reason=outcome.reason, detail=outcome.detail
            )


def _answer(enricher: Enricher, outcome: Outcome) -> Mapping[str, Any]:
    return {
        "key": outcome.key, "model": enricher.settings.model, "base_url": enricher.settings.base_url,
        "strategy": outcome.ask.strategy.ref, "messages": list(outcome.messages), "answer": outcome.answer or "",
        "lines": [line.as_json() for line in outcome.lines], "other_lines": None, "flags": list(outcome.flags),
    }  # fmt: skip


def _ledger(enricher: Enricher, position: int, outcome: Outcome) -> list[Mapping[str, Any]]:
    """The calls as the ledger keeps them: all but the answers' text, which stands with the answers."""
    calls: Sequence[Call] = outcome.calls
    return [
        {
            "position": position, "key": outcome.key, "strategy": outcome.ask.strategy.ref,
            "model": enricher.settings.model, "mode": "live", "attempt": call.attempt, "status": call.status,
            "http_status": call.http_status, "prompt_tokens": call.prompt_tokens, "cached_tokens": call.cached_tokens,
            "completion_tokens": call.completion_tokens, "cost_pusd": None, "latency_s": call.latency_s,
        }
        for call in calls
    ]  # fmt: skip
