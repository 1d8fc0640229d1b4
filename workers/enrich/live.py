"""Live enrichment: sends the questions of a part one by one, and commits each response as it arrives.

The questions are processed in windows. Per window, one statement records the results of questions with a cached
response; questions that another part is sending are postponed; the rest is sent. At the end the postponed questions are
checked again: their response is cached by now, or their call failed and is repeated here. Otherwise the part waits, and
after `_MAX_WAIT_S` without news it is queued again.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, takewhile

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from attributes.llm.client import LLMClient
from attributes.llm.health import ServerUnavailable, duration
from attributes.llm.requests import cache_key_of
from attributes.llm.results import BUDGET_SPENT, FatalLLMError, QuestionResult
from attributes.llm.server import LLMServer
from attributes.prompts.questions import Question
from store.enrich import llm_profiles, results, single_flight
from store.enrich.assembly import ROUND
from store.enrich.results import ResultSlot
from store.errors import LeaseLost
from store.jobs import claims, jobs
from store.jobs.specs import EnrichSpec
from workers.enrich import llm_settings
from workers.enrich.budget import PartBudget
from workers.enrich.group_commit import GroupCommit
from workers.enrich.questions import InvalidQuestion, PlannedQuestion, group_by_key
from workers.enrich.recording import STOPPED, CallRow, FinishedQuestion, Recorder, acquire_questions
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, FatalJobError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.throughput import Throughput

log = structlog.get_logger()
QUESTIONS_PER_WINDOW = 1_024
MAX_FAILURE_EVENTS = 50  # failures that have their own event; the job's result has all of them
_COMMIT_DELAY_S = 0.05  # a transaction costs as much as ten responses in it
_POLL_S = 0.25
_MAX_WAIT_S = 2.0
_REQUEUE_S = 1.0
_COMMIT_RETRY_S = 0.5
OUTAGE_RETRY_S = 10.0  # a part whose server is away is queued again after this time
OUTAGE_GAP_S = 180.0  # a fault that comes later than this after the last one begins a new outage


class LiveEnrichment:
    """One attempt at a part. `total` is the number of units of progress; a unit has `per_unit` questions."""

    def __init__(
        self,
        context: Context,
        lease: LeaseRenewal,
        *,
        total: int,
        unit: str,
        per_unit: int = 1,
        window: int = QUESTIONS_PER_WINDOW,
    ) -> None:
        self._context, self._lease, self._claim = context, lease, lease.claim
        spec = self._claim.job(EnrichSpec)
        self._llm = llm_settings.resolve(context, spec)
        self._settings, price = self._llm.settings, self._llm.price
        self._budget = PartBudget(context.db, self._claim, price, is_capped=spec.has_budget)
        self._recorder = Recorder(self._claim, self._settings, price, mode="live", budget=self._budget)
        self._profiles = llm_settings.learned_profiles(context, self._settings, self._recorder.learn_profile)
        self._owner = self._claim.part_id
        self._strategy_refs: Sequence[str] = spec.strategies
        self._total, self._unit, self._per_unit, self._window = total, unit, per_unit, window
        self._in_flight: dict[str, list[PlannedQuestion]] = {}  # key -> questions that this part sends
        self._postponed: dict[str, list[PlannedQuestion]] = {}  # key -> questions that another part was sending
        self._next_window: asyncio.Task[list[Question] | None] | None = None
        self._commits = GroupCommit(self._commit, delay_s=_COMMIT_DELAY_S)
        self._count_lock = threading.Lock()
        self._throughput = Throughput()
        self._num_finished = 0
        self._num_failed = 0
        self._server: LLMServer | None = None

    def run(self, questions: Iterator[PlannedQuestion | InvalidQuestion], *, num_finished: int) -> None:
        """Send questions until each has a result. `num_finished` others had a result before.

        Raises FatalJobError if no call can succeed, Stopped, Deferred, LeaseLost.
        """
        self._num_finished = num_finished
        self._report_progress()
        self._context.client_pool.run(lambda: self._run(questions))
        if self._num_failed > MAX_FAILURE_EVENTS:
            num_more = self._num_failed - MAX_FAILURE_EVENTS
            self._lease.note(f"{num_more} more questions without a valid response", level="warning")

    async def _run(self, questions: Iterator[PlannedQuestion | InvalidQuestion]) -> None:
        renewal = asyncio.create_task(self._renew_locks())
        try:
            async with self._context.client_pool.client(self._context.settings, self._llm) as pooled:
                self._server = pooled.server
                client = LLMClient(
                    self._settings,
                    profiles=self._profiles,
                    limiter=pooled.limiter,
                    budget=self._budget,
                    server=pooled.server,
                    rank=pooled.next_rank(),
                    on_outage=lambda message: self._lease.note(message, level="warning"),
                )
                await self._send(client, questions)
                await self._send_postponed(client)
        except ServerUnavailable as error:
            await self._commits.drain()
            raise await asyncio.to_thread(self._after_outage, error) from error
        except FatalLLMError as error:
            raise FatalJobError(error.code, error.message) from error
        finally:
            renewal.cancel()
            await self._commits.drain()
            with suppress(SQLAlchemyError):  # the locks expire by themselves
                await asyncio.to_thread(self._release_locks)
            with suppress(SQLAlchemyError):  # the rest of the reservation then counts as spent
                await self._budget.close()

    def _after_outage(self, error: ServerUnavailable) -> Deferred | FatalJobError:
        """Defer the part while the server is away; end the job if it is away for longer than the limit.

        All parts and processes share the time at which the outage began.
        """
        place = {"base_url": self._settings.base_url, "model": self._settings.model}
        limit_s, now = self._settings.outage_limit_s, time.time()
        with self._context.db.write() as tx:
            since = llm_profiles.record_outage(
                tx,
                **place,
                since=error.since,
                gap_s=OUTAGE_GAP_S,
                retry_in_s=error.retry_in_s,
                last_success_at=self._server.health.last_success_at if self._server is not None else None,
            )
            started_at = jobs.get(tx, self._claim.job_id).started_at
        since = max(since, started_at or since)  # a job that is posted again waits as long as the first one
        if now - since >= limit_s or error.retry_in_s > limit_s:
            away = f" for {duration(now - since)}" if error.code == "llm_unavailable" else ""
            kept = "what it has answered is kept; post the job again to continue"
            return FatalJobError(error.code, f"{error.message}; given up{away}: {kept}")
        retry_in_s = min(max(error.retry_in_s, OUTAGE_RETRY_S), since + limit_s - now)
        left = f"giving up in {duration(since + limit_s - now)}"
        self._lease.note(f"{error.message}; trying again in {duration(retry_in_s)}, {left}", level="warning")
        return Deferred(max(0.0, retry_in_s))

    async def _send(self, client: LLMClient, questions: Iterator[PlannedQuestion | InvalidQuestion]) -> None:
        to_send = self._questions_to_send(questions)
        try:
            # Twice the number of calls in flight: the other half waits for the commit of its responses.
            totals = await client.query_all(
                to_send,
                concurrency=2 * self._settings.concurrency,
                on_result=self._commits.add,
                should_stop=self._lease.should_stop,
            )
        finally:
            if self._next_window is not None:
                await asyncio.wait([self._next_window])
            await to_send.aclose()
        if totals.stopped == "budget_spent":
            raise FatalJobError(BUDGET_SPENT, "the job's budget is spent; responses received so far are kept")
        if totals.stopped or self._lease.should_stop():  # the questions may have ended early because of it
            raise Stopped

    async def _questions_to_send(
        self, questions: Iterator[PlannedQuestion | InvalidQuestion]
    ) -> AsyncGenerator[Question]:
        """The questions that this part has to send; prepares one window ahead."""

        wanted = takewhile(lambda _: not self._lease.should_stop(), questions)  # an image takes time to read

        def prepare() -> list[Question] | None:
            window = list(islice(wanted, self._window))
            return self._prepare_window(window) if window else None

        self._next_window = asyncio.create_task(asyncio.to_thread(prepare))
        while (to_send := await self._next_window) is not None and not self._lease.should_stop():
            self._next_window = asyncio.create_task(asyncio.to_thread(prepare))
            for question in to_send:
                yield question

    def _prepare_window(self, window: Sequence[PlannedQuestion | InvalidQuestion]) -> list[Question]:
        """Record invalid and cached questions, postpone those locked elsewhere; returns the questions to send here."""
        by_key, invalid = group_by_key(window, self._settings)
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            acquired = acquire_questions(tx, self._claim, by_key, invalid, lease_s=self._context.settings.lease_s)
        for one in invalid:
            self._report_failure(one.subject, one.slots[0], one.reason, one.detail)
        self._count(sum(len(one.slots) for one in invalid))
        to_send = []
        for key, planned in by_key.items():
            if key in acquired.cached:
                self._count(len(planned))
            elif key in acquired.locked:
                to_send.append(planned[0].question)
                self._in_flight.setdefault(key, []).extend(planned)
            else:
                self._postponed.setdefault(key, []).extend(planned)
        self._report_progress()
        return to_send

    async def _send_postponed(self, client: LLMClient) -> None:
        last_news = time.monotonic()
        while self._postponed:
            if self._lease.should_stop():
                raise Stopped
            if unlocked := await asyncio.to_thread(self._take_unlocked):
                last_news = time.monotonic()
                await self._send(client, iter(unlocked))
            elif time.monotonic() - last_news > _MAX_WAIT_S:
                raise Deferred(_REQUEUE_S)
            else:
                await asyncio.sleep(_POLL_S)

    def _take_unlocked(self) -> list[PlannedQuestion]:
        """Remove the postponed questions that have a cached response or are not locked any more, and return them."""
        keys = list(self._postponed)
        with self._context.db.read() as tx:
            still_locked = single_flight.locked_keys(tx, keys) - results.cached_keys(tx, keys)
        return [planned for key in keys if key not in still_locked for planned in self._postponed.pop(key)]

    def _commit(self, finished: Sequence[QuestionResult]) -> None:
        """Commit these results; retries for the length of a lease if the database fails."""
        give_up = time.monotonic() + self._context.settings.lease_s
        while True:
            try:
                self._write(finished)
                break
            except OperationalError as error:
                if time.monotonic() > give_up:
                    raise
                log.warning("responses_not_committed", part=self._owner, error=str(error.orig)[:200])
                time.sleep(_COMMIT_RETRY_S)
        self._recorder.forget_profiles()
        for result in finished:
            self._finish(result, self._in_flight.pop(result.key, []))
        self._report_progress()

    def _write(self, finished: Sequence[QuestionResult]) -> None:
        """Record these results. Their calls and responses are recorded even if the lease is lost: they are paid for."""
        calls = self._call_rows(finished)
        questions = [FinishedQuestion(result, self._in_flight.get(result.key, ())) for result in finished]
        try:
            with self._context.db.write() as tx:
                claims.check(tx, self._claim)
                self._recorder.record(tx, calls, questions, lock_keys=[result.key for result in finished])
        except LeaseLost:
            with self._context.db.write() as tx:
                self._recorder.record_paid(tx, calls, questions)
            raise
        self._budget.confirm_recorded(calls)

    def _call_rows(self, finished: Sequence[QuestionResult]) -> list[CallRow]:
        rows: list[CallRow] = []
        for result in finished:
            key = cache_key_of(result.question, self._settings)  # the result of a fatal error has no key
            position = self._in_flight[key][0].slots[0].position
            rows += self._recorder.call_rows(result.question, result.calls, key=key, position=position)
        return rows

    def _finish(self, result: QuestionResult, questions: Sequence[PlannedQuestion]) -> None:
        if result.reason == STOPPED:
            return
        self._count(len(questions))
        for planned in questions if result.reason else ():
            self._report_failure(planned.subject, planned.slots[0], result.reason or "", result.detail)

    def _report_failure(self, subject: str, slot: ResultSlot, reason: str, detail: str) -> None:
        with self._count_lock:
            self._num_failed += 1
        if self._num_failed <= MAX_FAILURE_EVENTS:
            self._lease.note(
                f'{self._strategy_refs[slot.step % ROUND]}: no valid response about "{subject}": {reason}',
                level="warning",
                position=slot.position,
                step=slot.step,
                reason=reason,
                detail=detail,
            )

    def _count(self, num_finished: int) -> None:
        with self._count_lock:  # a window is prepared while results are committed
            self._num_finished += num_finished

    def _report_progress(self) -> None:
        done = self._num_finished // self._per_unit
        rate = self._throughput(done)
        self._lease.progress(min(done, self._total), self._total, self._unit, rate)

    async def _renew_locks(self) -> None:
        lease_s = self._context.settings.lease_s
        while True:
            await asyncio.sleep(lease_s / 3)
            with suppress(SQLAlchemyError):
                await asyncio.to_thread(
                    self._in_transaction, lambda tx: single_flight.renew(tx, self._owner, lease_s=lease_s)
                )

    def _release_locks(self) -> None:
        self._in_transaction(lambda tx: single_flight.release(tx, self._owner))

    def _in_transaction(self, write: Callable[[Session], None]) -> None:
        with self._context.db.write() as tx:
            write(tx)
