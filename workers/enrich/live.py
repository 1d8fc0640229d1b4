"""Asking an LLM all that a part of an enrich job asks, each answer committed as it arrives.

The questions go through in windows. Of each window what an earlier call answered is settled in one statement, what
another part is asking just now is put aside, and the rest is asked. What was put aside is looked at again at the end:
its answer has come meanwhile, or its call failed and is made here, or it is waited for, and after a while the part
steps back and comes again later.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from attributes.llm.client import LLMClient
from attributes.llm.requests import cache_key_of
from attributes.llm.results import BUDGET_SPENT, FatalLLMError, QuestionResult
from attributes.prompts.questions import Question
from store.enrich import results, single_flight, usage
from store.enrich.assembly import ROUND
from store.enrich.results import Place
from store.errors import LeaseLost
from store.jobs import claims
from store.jobs.specs import EnrichSpec
from workers.enrich import llm_settings
from workers.enrich.budget import Budget
from workers.enrich.group_commit import GroupCommit
from workers.enrich.questions import PlannedQuestion, Unaskable
from workers.enrich.usage import answer_row, call_rows
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, JobFailed, Stopped
from workers.runtime.lease_renewal import Keeper
from workers.runtime.throughput import Rate

log = structlog.get_logger()
WINDOW = 1_024
MAX_NAMED = 50  # failures that a part tells of one by one; all of them are in the job's result
_GATHER_S = 0.05  # a transaction costs as much as ten answers in it
_LOOK_EVERY_S = 0.25
_PATIENCE_S = 2.0  # without anything new of what others ask, before the part steps back
_COME_AGAIN_S = 1.0
_WRITE_AGAIN_S = 0.5


class Asking:
    """One attempt at a part. `per_unit` questions make one of the `total` units that progress is told in."""

    def __init__(
        self,
        context: Context,
        keeper: Keeper,
        *,
        total: int,
        unit: str,
        per_unit: int = 1,
        window: int = WINDOW,
    ) -> None:
        self._context, self._keeper, self._claim = context, keeper, keeper.claim
        self._learnt: dict[tuple[str, str], Mapping[str, Any]] = {}
        spec = self._claim.job(EnrichSpec)
        self._settings = llm_settings.llm_settings(context, spec.model)
        self._price = llm_settings.price(context, self._settings, spec)
        self._budget = Budget(context.db, self._claim, self._price) if spec.has_budget else None
        self._ladder = llm_settings.ladder(context, self._settings, self._learn)
        self._owner = self._claim.part_id
        self._refs: Sequence[str] = spec.strategies
        self._total, self._unit, self._per_unit, self._window = total, unit, per_unit, window
        self._open: dict[str, list[PlannedQuestion]] = {}  # by key: what this part holds
        self._elsewhere: dict[str, list[PlannedQuestion]] = {}  # by key: what another part held when it was looked at
        self._ahead: asyncio.Task[list[Question] | None] | None = None
        self._commits = GroupCommit(self._commit, gather_s=_GATHER_S)
        self._counting = threading.Lock()
        self._rate = Rate()
        self._num_ended = 0
        self._num_failed = 0

    def through(self, questions: Iterator[PlannedQuestion | Unaskable], *, num_ended: int) -> None:
        """Ask until every question has a result; `num_ended` have one already.

        Raises JobFailed where no call can succeed, Stopped, Deferred, LeaseLost.
        """
        self._num_ended = num_ended
        self._tell()
        self._context.exchange.run(lambda: self._through(questions))
        if self._num_failed > MAX_NAMED:
            self._keeper.note(f"{self._num_failed - MAX_NAMED} more questions without an answer", level="warning")

    async def _through(self, questions: Iterator[PlannedQuestion | Unaskable]) -> None:
        renewing = asyncio.create_task(self._renew())
        try:
            async with self._context.exchange.line(self._context.settings, self._settings) as line:
                enricher = LLMClient(
                    self._settings,
                    fallback=self._ladder,
                    limiter=line.limiter(),
                    budget=self._budget,
                    transport=line.wire,
                )
                await self._ask(enricher, questions)
                await self._see_to_what_others_ask(enricher)
        except FatalLLMError as error:
            raise JobFailed(error.code, error.message) from error
        finally:
            renewing.cancel()
            await self._commits.drain()
            with suppress(SQLAlchemyError):  # they run out by themselves
                await asyncio.to_thread(self._release)
            with suppress(SQLAlchemyError):  # it then counts as spent
                if self._budget is not None:
                    await self._budget.close()

    async def _ask(self, enricher: LLMClient, questions: Iterator[PlannedQuestion | Unaskable]) -> None:
        asks = self._drawn(questions)
        try:
            # More at a time than may be in flight: the others wait for their answers to be committed.
            tally = await enricher.query_all(
                asks,
                concurrency=2 * self._settings.concurrency,
                on_result=self._commits.add,
                should_stop=self._keeper.should_stop,
            )
        finally:
            if self._ahead is not None:
                await asyncio.wait([self._ahead])
            await asks.aclose()
        if tally.stopped == "budget_spent":
            raise JobFailed(BUDGET_SPENT, "the job's budget is spent; what was answered is kept")
        if tally.stopped:
            raise Stopped

    async def _drawn(self, questions: Iterator[PlannedQuestion | Unaskable]) -> AsyncGenerator[Question]:
        """The asks that are to be made here; looks one window ahead."""

        def take() -> list[Question] | None:
            window = list(islice(questions, self._window))
            return self._take(window) if window else None

        self._ahead = asyncio.create_task(asyncio.to_thread(take))
        while (asks := await self._ahead) is not None and not self._keeper.should_stop():
            self._ahead = asyncio.create_task(asyncio.to_thread(take))
            for ask in asks:
                yield ask

    def _take(self, window: Sequence[PlannedQuestion | Unaskable]) -> list[Question]:
        """Settle what is known, put aside what is asked elsewhere; what is to be asked here."""
        by_key: dict[str, list[PlannedQuestion]] = {}
        unaskable: list[Unaskable] = []
        for question in window:
            if isinstance(question, Unaskable):
                unaskable.append(question)
            else:
                by_key.setdefault(cache_key_of(question.ask, self._settings), []).append(question)
        failures = [(place, one.reason, one.detail) for one in unaskable for place in one.places]
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            results.record_failures(tx, self._claim, failures)
            known = self._settle(tx, by_key)
            left = [key for key in by_key if key not in known]
            mine = single_flight.take(tx, self._owner, left, lease_s=self._context.settings.lease_s) if left else set()
            if mine:  # of a flight that ended in between there is an answer now
                known |= (late := self._settle(tx, {key: by_key[key] for key in mine}))
                single_flight.release(tx, self._owner, list(late))
        for one in unaskable:
            self._failed(one.subject, one.places[0], one.reason, one.detail)
        self._count(len(failures))
        asks = []
        for key, questions in by_key.items():
            if key in known:
                self._count(len(questions))
            elif key in mine:
                asks.append(questions[0].ask)
                self._open.setdefault(key, []).extend(questions)
            else:
                self._elsewhere.setdefault(key, []).extend(questions)
        self._tell()
        return asks

    def _learn(self, base_url: str, model: str, form: Mapping[str, Any]) -> None:
        self._learnt[base_url, model] = form

    def _settle(self, tx: Session, by_key: dict[str, list[PlannedQuestion]]) -> set[str]:
        places = [(place, key) for key, each in by_key.items() for question in each for place in question.places]
        return results.settle_known(tx, self._claim, places)

    async def _see_to_what_others_ask(self, enricher: LLMClient) -> None:
        last_news = time.monotonic()
        while self._elsewhere:
            if self._keeper.should_stop():
                raise Stopped
            if to_look_at := await asyncio.to_thread(self._news):
                last_news = time.monotonic()
                await self._ask(enricher, iter(to_look_at))
            elif time.monotonic() - last_news > _PATIENCE_S:
                raise Deferred(_COME_AGAIN_S)
            else:
                await asyncio.sleep(_LOOK_EVERY_S)

    def _news(self) -> list[PlannedQuestion]:
        """What was put aside and has been answered, or is asked by nobody any more."""
        keys = list(self._elsewhere)
        with self._context.db.read() as tx:
            still = single_flight.held(tx, keys) - results.known_answers(tx, keys)
        return [question for key in keys if key not in still for question in self._elsewhere.pop(key)]

    def _commit(self, outcomes: Sequence[QuestionResult]) -> None:
        """Commit what these questions came to. Their calls and answers stay even where the part is another's by now:
        they are paid for."""
        give_up = time.monotonic() + self._context.settings.lease_s
        while True:
            try:
                self._write(outcomes)
                break
            except OperationalError as error:
                if time.monotonic() > give_up:
                    raise
                log.warning("answers_not_committed", part=self._owner, error=str(error.orig)[:200])
                time.sleep(_WRITE_AGAIN_S)
        self._learnt.clear()
        for outcome in outcomes:
            self._end(outcome, self._open.pop(outcome.key, []))
        self._tell()

    def _write(self, outcomes: Sequence[QuestionResult]) -> None:
        rows = self._rows(outcomes)
        try:
            with self._context.db.write() as tx:
                claims.check(tx, self._claim)
                self._keep(tx, outcomes, rows)
                self._conclude(tx, outcomes)
                self._count_costs(tx, rows)
        except LeaseLost:
            with self._context.db.write() as tx:
                self._keep(tx, outcomes, rows)
                self._count_costs(tx, rows)
            raise
        if self._budget is not None:
            self._budget.recorded(rows)

    def _rows(self, outcomes: Sequence[QuestionResult]) -> list[dict[str, Any]]:
        settings = self._settings
        rows: list[dict[str, Any]] = []
        for outcome in outcomes:
            key = cache_key_of(outcome.question, settings)
            position = self._open[key][0].places[0].position
            rows += call_rows(outcome.question, outcome.calls, settings, self._price, key=key, position=position)
        return rows

    def _count_costs(self, tx: Session, rows: Sequence[Mapping[str, Any]]) -> None:
        released = self._budget.released(rows) if self._budget is not None else usage.NOTHING
        usage.record(tx, self._claim.job_id, rows, released=released)

    def _keep(self, tx: Session, outcomes: Sequence[QuestionResult], rows: Sequence[Mapping[str, Any]]) -> None:
        settings = self._settings
        results.record_calls(tx, self._claim, rows)
        for (base_url, model), form in list(self._learnt.items()):
            results.keep_form(tx, base_url=base_url, model=model, form=form)
        results.record_answers(tx, [answer_row(outcome, settings) for outcome in outcomes if not outcome.reason])

    def _conclude(self, tx: Session, outcomes: Sequence[QuestionResult]) -> None:
        ended = [outcome for outcome in outcomes if outcome.reason != "stopped"]
        places = [
            (place, outcome)
            for outcome in ended
            for question in self._open.get(outcome.key, ())
            for place in question.places
        ]
        results.record_results(
            tx, self._claim, [(place, outcome.key) for place, outcome in places if not outcome.reason]
        )
        results.record_failures(
            tx, self._claim, [(place, outcome.reason, outcome.detail) for place, outcome in places if outcome.reason]
        )
        single_flight.release(tx, self._owner, [outcome.key for outcome in outcomes])

    def _end(self, outcome: QuestionResult, questions: Sequence[PlannedQuestion]) -> None:
        if outcome.reason == "stopped":
            return
        self._count(len(questions))
        for question in questions if outcome.reason else ():
            self._failed(question.subject, question.places[0], outcome.reason or "", outcome.detail)

    def _failed(self, subject: str, place: Place, reason: str, detail: str) -> None:
        with self._counting:
            self._num_failed += 1
        if self._num_failed <= MAX_NAMED:
            self._keeper.note(
                f'{self._refs[place.step % ROUND]}: no answer about "{subject}": {reason}',
                level="warning",
                position=place.position,
                step=place.step,
                reason=reason,
                detail=detail,
            )

    def _count(self, num_ended: int) -> None:
        with self._counting:  # a window is looked at while answers are committed
            self._num_ended += num_ended

    def _tell(self) -> None:
        done = self._num_ended // self._per_unit
        rate = self._rate(done)
        self._keeper.progress(min(done, self._total), self._total, self._unit, rate)

    async def _renew(self) -> None:
        lease_s = self._context.settings.lease_s
        while True:
            await asyncio.sleep(lease_s / 3)
            with suppress(SQLAlchemyError):
                await asyncio.to_thread(
                    self._write_alone, lambda tx: single_flight.renew(tx, self._owner, lease_s=lease_s)
                )

    def _release(self) -> None:
        self._write_alone(lambda tx: single_flight.release(tx, self._owner))

    def _write_alone(self, write: Callable[[Session], None]) -> None:
        with self._context.db.write() as tx:
            write(tx)
