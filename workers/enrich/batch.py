"""Batch enrichment: sends the questions of a part through the server's Batch API, without occupying a worker meanwhile.

Each time the part is claimed, it takes one step and is deferred: it submits the missing questions, polls its batches,
or records the responses of an ended batch. A batch is stored before it is submitted; if a worker died before it could
store the server's id of a batch, the batch is found by its file. The responses of a batch are recorded in the
transaction that ends it, so that they count once. Questions that must be sent again go into the next batches, a limited
number of times.

A server with too many requests in batches ("Enqueued token limit reached") refuses a batch as a whole. Its questions
are sent again when the other batches have ended, one batch at a time, or in halves if there were no others.

When its job stops, the part cancels its batches (unless only the budget is spent), waits until they have ended, and
records what they completed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from sqlalchemy.orm import Session

from attributes.llm.batches.batch_jobs import BatchJobs, BatchQueueFull, BatchResponse, BatchState, BatchUnavailable
from attributes.llm.concurrency import RunStopped
from attributes.llm.limits import max_prompt_tokens
from attributes.llm.model_profile import FORMAT_LEVELS
from attributes.llm.results import BUDGET_SPENT, FatalLLMError
from attributes.llm.retry_policy import AttemptsJSON, QuestionAttempts
from limbeck.shared.text import counted
from store.enrich import batches as rows
from store.enrich import results, single_flight, usage
from store.enrich.usage import NO_COST, Cost
from store.jobs import claims, jobs
from store.jobs.specs import EnrichSpec
from store.models import LLMBatch
from workers.enrich import llm_settings
from workers.enrich.call_costs import cost_of_call, max_cost
from workers.enrich.live import MAX_FAILURE_EVENTS
from workers.enrich.questions import InvalidQuestion, PlannedQuestion, group_by_key
from workers.enrich.recording import Acquired, CallRow, FinishedQuestion, Recorder, acquire_questions
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, FatalJobError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

FIRST_POLL_S, LAST_POLL_S, POLL_GROWTH = 2.0, 60.0, 1.5
MAX_QUEUE_WAIT_S = 900.0  # between two attempts to submit a batch that the server has no room for
QUEUE_FULL = "queue_full"  # the status of a stored batch that the server had no room for
_KEY_CHARS = 16  # of a cache key: enough to distinguish the questions of one part
_LOCK_LEASE_S = 26 * 3600.0  # a batch may take a day
_LOCK_PREFIX = "batch:"  # own locks, so that a live job does not wait a day for the response of a batch

QuestionsByKey = Mapping[str, Sequence[PlannedQuestion]]


class BatchEnrichment:
    """One step of a part in batch mode; has the interface of `workers.enrich.live.LiveEnrichment`."""

    def __init__(self, context: Context, lease: LeaseRenewal, *, total: int, unit: str, per_unit: int = 1) -> None:
        self._context, self._lease, self._claim = context, lease, lease.claim
        self._spec = self._claim.job(EnrichSpec)
        llm = llm_settings.resolve(context, self._spec)
        self._settings, self._price = llm.settings, llm.price
        self._recorder = Recorder(self._claim, self._settings, self._price, mode="batch")
        self._profiles = llm_settings.learned_profiles(context, self._settings, self._recorder.learn_profile)
        self._total, self._unit, self._per_unit = total, unit, per_unit
        self._num_finished = 0
        self._questions: Iterator[PlannedQuestion | InvalidQuestion] = iter(())
        self._grouped: tuple[dict[str, list[PlannedQuestion]], list[InvalidQuestion]] | None = None

    def run(self, questions: Iterator[PlannedQuestion | InvalidQuestion], *, num_finished: int) -> None:
        """Take one step; returns if every question has a result. `num_finished` others had a result before.

        Raises Deferred, FatalJobError, Stopped, LeaseLost.
        """
        self._num_finished, self._questions = num_finished, questions
        asyncio.run(self._step())

    async def _step(self) -> None:
        with self._context.db.read() as tx:
            job = jobs.get(tx, self._claim.job_id)
            batches = rows.of_part(tx, self._claim.part_id)
        stopping = job.stopping in ("cancel", "failure")
        cancel = stopping and (job.error or {}).get("code") != BUDGET_SPENT
        # A step of a job that stops already has to end the batches; one that is told to stop leaves them to the next.
        should_stop = self._lease.should_stop if not stopping else lambda: False
        async with BatchJobs(self._settings, profiles=self._profiles, should_stop=should_stop) as server:
            try:
                open_batches = [batch for batch in batches if batch.ended_at is None]
                num_completed = [
                    await self._advance(server, batch, stopping=stopping, cancel=cancel) for batch in open_batches
                ]
                self._report_progress(sum(num_completed))
                if any(batch.ended_at is None for batch in open_batches):
                    raise Deferred(_poll_s(max(batch.detail.get("polls", 0) for batch in open_batches)))
                if stopping:
                    raise Stopped
                if any(batch.status == QUEUE_FULL for batch in open_batches):
                    raise Deferred(_queue_wait_s(batches))
                await self._submit_missing(server, batches)
            except (Stopped, RunStopped):
                self._write(self._release_locks)
                raise Stopped from None
            except BatchUnavailable as error:
                self._lease.note(str(error), level="warning")
                raise Deferred(LAST_POLL_S) from error
            except FatalLLMError as error:
                raise FatalJobError(error.code, error.message) from error

    async def _advance(self, server: BatchJobs, batch: LLMBatch, *, stopping: bool, cancel: bool) -> int:
        """Submit, cancel, poll or collect an open batch; the number of its requests that the server has completed."""
        if batch.server_id is None and not await self._submit(server, batch, stopping=stopping):
            return 0
        assert batch.server_id is not None
        if cancel and not batch.detail.get("asked_to_end"):
            state = await server.cancel(batch.server_id)
            self._write(lambda tx: rows.record(tx, batch, detail={"asked_to_end": True, "polls": 0}))
        else:
            state = await server.poll(batch.server_id)
        if state.ended:
            await self._collect(server, batch, state)
            return 0
        polls = batch.detail.get("polls", 0) + 1
        self._write(lambda tx: rows.record(tx, batch, status=state.status, detail={"polls": polls}))
        return state.num_completed

    async def _submit(self, server: BatchJobs, batch: LLMBatch, *, stopping: bool) -> bool:
        """Submit a stored batch unless an earlier worker did. Returns False if it ended unsubmitted, because the job
        is `stopping` or the server has no room for it. Raises Stopped before it would create a batch."""
        file_id = batch.detail.get("file_id")
        state = await server.find_by_file(file_id) if file_id else None
        if state is None and stopping:
            self._write(lambda tx: self._end(tx, batch, "cancelled", {}))
            return False
        if state is None:
            if not file_id:
                file_id = await server.upload(self._attempts_of(batch))
                self._write(lambda tx: rows.record(tx, batch, detail={"file_id": file_id}))
            if self._lease.should_stop():
                raise Stopped
            try:
                state = await server.create(file_id)
            except BatchQueueFull as error:
                self._end_without_room(batch, str(error))
                return False
        server_id, status = state.id, state.status
        self._write(lambda tx: rows.record(tx, batch, server_id=server_id, status=status))
        return True

    async def _submit_missing(self, server: BatchJobs, batches: Sequence[LLMBatch]) -> None:
        """Submit the missing questions in as many batches as needed. Returns if none is missing."""
        by_key, invalid = self._group_questions()
        acquired = self._acquire(by_key, invalid)
        to_send = acquired.locked - self._fail_exhausted(by_key, acquired.locked, batches)
        saved = _saved_attempts(batches)
        pending = [self._attempts(by_key[key][0], saved.get(key)) for key in by_key if key in to_send]
        num_submitted = await self._submit_chunks(server, pending, batches)
        self._report_progress()
        if pending and not num_submitted:
            self._raise_without_budget()
        if pending or len(acquired.cached) + len(acquired.locked) < len(by_key):
            raise Deferred(FIRST_POLL_S)

    async def _submit_chunks(
        self, server: BatchJobs, pending: Sequence[QuestionAttempts], batches: Sequence[LLMBatch]
    ) -> int:
        """Store and submit batches of the questions while budget and server allow it. Returns the number of batches."""
        num_submitted = 0
        sizes = [batch.detail["fitting"] for batch in batches if batch.status == QUEUE_FULL]
        for chunk in server.chunks(pending, min(sizes, default=None)):
            if self._lease.should_stop():
                raise Stopped
            batch, num_fitting = self._store_batch(chunk)
            if batch is None:
                break
            num_submitted += 1
            if not await self._submit(server, batch, stopping=False):
                raise Deferred(_queue_wait_s([*batches, batch]))
            if num_fitting < len(chunk) or sizes:
                break
        return num_submitted

    def _acquire(self, by_key: QuestionsByKey, invalid: Sequence[InvalidQuestion]) -> Acquired:
        """Record invalid and cached questions, and lock the others; see `acquire_questions`."""
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            acquired = acquire_questions(
                tx, self._claim, by_key, invalid, lease_s=_LOCK_LEASE_S, lock_prefix=_LOCK_PREFIX
            )
        self._num_finished += sum(len(one.slots) for one in invalid)
        self._num_finished += sum(len(by_key[key]) for key in acquired.cached)
        return acquired

    def _fail_exhausted(self, by_key: QuestionsByKey, keys: set[str], batches: Sequence[LLMBatch]) -> set[str]:
        """Fail the questions that were in too many batches; returns their keys."""
        sent = [batch for batch in batches if batch.status != QUEUE_FULL]
        num_batches = Counter(short_key for batch in sent for short_key in batch.detail["keys"])
        # Falling back to the next response format does not count as an attempt.
        max_batches = self._settings.max_attempts + len(FORMAT_LEVELS)
        exhausted = {key for key in keys if num_batches[key[:_KEY_CHARS]] >= max_batches}
        if not exhausted:
            return exhausted
        questions = [planned for key in by_key if key in exhausted for planned in by_key[key]]
        failures = [
            (slot, "batch_unfinished", "sent in several batches") for planned in questions for slot in planned.slots
        ]
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            results.record_failures(tx, self._claim, failures)
            single_flight.release(tx, self._claim.part_id, [_LOCK_PREFIX + key for key in exhausted])
        self._num_finished += len(questions)
        message = f"{counted(len(exhausted), 'question has', 'questions have')} no valid response after several batches"
        self._lease.note(message, level="warning")
        return exhausted

    def _store_batch(self, chunk: Sequence[QuestionAttempts]) -> tuple[LLMBatch | None, int]:
        """Store a batch of the first questions that fit the budget. Returns it and their number; None if none fit."""
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            num_fitting, reserved = self._reserve(tx, chunk)
            if not num_fitting:
                return None, 0
            keys = [attempts.key[:_KEY_CHARS] for attempts in chunk[:num_fitting]]
            detail = {"keys": keys, "reserved": [reserved.pusd, reserved.tokens]}
            batch = rows.add(
                tx, job_id=self._claim.job_id, part_id=self._claim.part_id, num_requests=num_fitting, detail=detail
            )
        return batch, num_fitting

    def _reserve(self, tx: Session, chunk: Sequence[QuestionAttempts]) -> tuple[int, Cost]:
        """Reserve the maximum cost of the chunk, or of its first half, quarter, ... Returns the number of questions."""
        if not self._spec.has_budget:
            return len(chunk), NO_COST
        num_fitting = len(chunk)
        while num_fitting:
            cost = NO_COST
            for attempts in chunk[:num_fitting]:
                cost += self._max_cost(attempts)
            if usage.reserve(tx, self._claim.job_id, cost):
                return num_fitting, cost
            num_fitting //= 2
        return 0, NO_COST

    def _max_cost(self, attempts: QuestionAttempts) -> Cost:
        return max_cost(self._price, max_prompt_tokens(attempts.body()), attempts.max_tokens, batch=True)

    def _raise_without_budget(self) -> None:
        """No question fits the budget: raises Deferred if another part may release budget, else FatalJobError."""
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            single_flight.release(tx, self._claim.part_id)
            others_hold = usage.others_hold_budget(tx, self._claim)
        if others_hold:
            raise Deferred(FIRST_POLL_S)
        raise FatalJobError(BUDGET_SPENT, "the job's budget is spent; responses received so far are kept")

    async def _collect(self, server: BatchJobs, batch: LLMBatch, state: BatchState) -> None:
        """Record the responses of an ended batch in one transaction.

        Raises FatalLLMError afterwards if a request failed for a reason that waiting cannot fix, or if the whole batch
        failed.
        """
        if state.status == "failed" and state.queue_is_full:
            self._end_without_room(batch, "; ".join(state.errors))
            return
        by_key, _ = self._group_questions()
        pending = self._attempts_of(batch)
        # Computed before the responses are read: a response may raise the token limit of the next attempt.
        max_costs = {attempts.key: self._max_cost(attempts) for attempts in pending} if self._spec.has_budget else {}
        responses: list[BatchResponse] = []
        fatal: FatalLLMError | None = None
        try:
            async for response in server.collect(state, pending):
                responses.append(response)
        except FatalLLMError as error:
            fatal = error
        await asyncio.to_thread(
            self._write, lambda tx: self._record(tx, batch, state.status, responses, by_key, max_costs)
        )
        self._recorder.forget_profiles()
        for response in responses:
            if response.result is not None:
                self._num_finished += len(by_key.pop(response.attempts.key))
        self._note_batch(batch, state.status, responses)
        if state.status == "failed" and not any(response.calls for response in responses):
            errors = "; ".join(state.errors) or "the server gives no reason"
            fatal = fatal or FatalLLMError("llm_batch_failed", f"batch {state.id} failed: {errors}")
        if fatal is not None:
            raise fatal

    def _end_without_room(self, batch: LLMBatch, reason: str) -> None:
        """End a batch of which the server took nothing, and note how many requests to send next."""

        def end(tx: Session) -> None:
            fitting = batch.num_requests if rows.has_others(tx, batch) else max(1, batch.num_requests // 2)
            rows.record(tx, batch, detail={"fitting": fitting})
            self._end(tx, batch, QUEUE_FULL, {})

        self._write(end)
        message = (
            f"the LLM server has no room for a batch of {counted(batch.num_requests, 'request')}: its "
            "questions are sent again, "
            f"{batch.detail['fitting']} at a time, when other batches have ended"
        )
        self._lease.note(message, level="warning", detail=reason)

    def _record(
        self,
        tx: Session,
        batch: LLMBatch,
        status: str,
        responses: Sequence[BatchResponse],
        by_key: QuestionsByKey,
        max_costs: Mapping[str, Cost],
    ) -> None:
        calls: list[CallRow] = []
        for response in responses:
            attempts = response.attempts
            position = by_key[attempts.key][0].slots[0].position
            calls += self._recorder.call_rows(attempts.question, response.calls, key=attempts.key, position=position)
        finished = [FinishedQuestion(one.result, by_key[one.attempts.key]) for one in responses if one.result]
        lock_keys = [_LOCK_PREFIX + response.attempts.key for response in responses]
        self._recorder.record(tx, calls, finished, lock_keys=lock_keys)
        again = {one.attempts.key: one.attempts.to_json() for one in responses if one.result is None and one.calls}
        self._end(tx, batch, status, again, self._unknown_cost(responses, max_costs))

    def _unknown_cost(self, responses: Sequence[BatchResponse], max_costs: Mapping[str, Cost]) -> Cost:
        """The maximum cost of the calls with unknown usage, beyond the part of it that is known."""
        unknown = NO_COST
        for response in responses:
            highest = max_costs.get(response.attempts.key)
            if highest is None:
                continue
            for call in response.calls:
                known, is_complete = cost_of_call(call, self._price, batch=True)
                if not is_complete:
                    unknown += (highest - known).at_most(highest)
        return unknown

    def _end(
        self, tx: Session, batch: LLMBatch, status: str, again: Mapping[str, AttemptsJSON], unknown: Cost = NO_COST
    ) -> None:
        """End a batch and release its reservation, except for the `unknown` cost. `again`: attempts to continue."""
        reserved = Cost(*batch.detail["reserved"])
        usage.release(tx, self._claim.job_id, (reserved - unknown).at_most(reserved))
        rows.end(tx, batch, status=status, again=again)

    def _note_batch(self, batch: LLMBatch, status: str, responses: Sequence[BatchResponse]) -> None:
        """Write an event for an ended batch, and for each of its first failures."""
        finished = [one.result for one in responses if one.result is not None]
        failed = [result for result in finished if result.reason]
        message = (
            f"batch {batch.server_id} {status}: {len(finished) - len(failed)} of {len(responses)} questions have a "
            f"valid response, {len(responses) - len(finished)} are sent again"
        )
        self._lease.note(message, level="info" if status == "completed" else "warning")
        for result in failed[:MAX_FAILURE_EVENTS]:
            question = result.question
            self._lease.note(
                f'{question.strategy.ref}: no valid response about "{question.label}": {result.reason}',
                level="warning",
                reason=result.reason,
                detail=result.detail,
            )

    def _group_questions(self) -> tuple[dict[str, list[PlannedQuestion]], list[InvalidQuestion]]:
        """The questions of the part without a result, by cache key; computed only when a step needs them."""
        if self._grouped is None:
            self._grouped = group_by_key(self._questions, self._settings)
        return self._grouped

    def _attempts_of(self, batch: LLMBatch) -> list[QuestionAttempts]:
        """The questions of a batch, in the state in which the batch was created."""
        with self._context.db.read() as tx:
            earlier = [one for one in rows.of_part(tx, self._claim.part_id) if one.id < batch.id]
        saved, short_keys = _saved_attempts(earlier), set(batch.detail["keys"])
        by_key, _ = self._group_questions()
        return [
            self._attempts(planned[0], saved.get(key))
            for key, planned in by_key.items()
            if key[:_KEY_CHARS] in short_keys
        ]

    def _attempts(self, planned: PlannedQuestion, saved: AttemptsJSON | None) -> QuestionAttempts:
        attempts = QuestionAttempts(planned.question, self._settings, self._profiles)
        if saved is not None:
            attempts.restore(saved)
        return attempts

    def _release_locks(self, tx: Session) -> None:
        """Release the locks of a part that stops, unless an open batch answers their questions."""
        if not rows.has_open_batch(tx, self._claim.part_id):
            single_flight.release(tx, self._claim.part_id)

    def _write(self, write: Callable[[Session], None]) -> None:
        """Run `write` in a transaction, after the check of the lease."""
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            write(tx)

    def _report_progress(self, num_completed: int = 0) -> None:
        done = (self._num_finished + num_completed) // self._per_unit
        self._lease.progress(min(done, self._total), self._total, self._unit)


def _saved_attempts(batches: Sequence[LLMBatch]) -> dict[str, AttemptsJSON]:
    """Cache key -> the attempts to continue, as the last batch of the question saved them."""
    return {key: saved for batch in batches for key, saved in batch.detail.get("again", {}).items()}


def _queue_wait_s(batches: Sequence[LLMBatch]) -> float:
    """The wait after a batch that the server had no room for; it doubles with each one in a row."""
    in_a_row = 0
    for batch in batches:
        in_a_row = in_a_row + 1 if batch.status == QUEUE_FULL else 0
    return float(min(MAX_QUEUE_WAIT_S, LAST_POLL_S * 2 ** min(in_a_row - 1, 20)))


def _poll_s(polls: int) -> float:
    return float(min(LAST_POLL_S, FIRST_POLL_S * POLL_GROWTH ** min(polls, 20)))
