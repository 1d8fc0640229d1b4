"""Asking all that a part of an enrich job asks by the server's Batch API, without holding a worker meanwhile.

Each time the part is claimed it takes one step and steps back: it submits what is missing, or looks how its batches do,
or keeps what one that ended has brought. A batch is written down before it is submitted; one of which a worker died
before it could note the server's name for it is looked for by its file. What a batch brought is kept in one transaction
with its end, so that it counts once. Questions that have to be asked again go into the next round's batches, a bounded
number of times.

When its job stops, a part has the server end its batches (where only the budget is spent, they go on), waits for that,
and keeps what they completed.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy.orm import Session

from attributes.llm.batch_jobs import BatchJobs, BatchResponse, BatchState, BatchUnavailable
from attributes.llm.limits import max_prompt_tokens
from attributes.llm.requests import cache_key_of
from attributes.llm.response_format import FORMAT_LEVELS
from attributes.llm.results import BUDGET_SPENT, FatalLLMError
from attributes.llm.retry_policy import QuestionAttempts
from store.enrich import results as enrichment
from store.enrich import single_flight, usage
from store.enrich.usage import NOTHING, Amount
from store.jobs import batches as rows
from store.jobs import claims, jobs
from store.jobs.specs import EnrichSpec
from store.models import LLMBatch
from workers.enrich import llm_settings
from workers.enrich.budget import took_by, worst_case
from workers.enrich.live import WINDOW
from workers.enrich.live import Asking as LiveAsking
from workers.enrich.questions import PlannedQuestion, Unaskable
from workers.enrich.usage import answer_row, call_rows
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, JobFailed, Stopped
from workers.runtime.lease_renewal import Keeper

log = structlog.get_logger()
FIRST_POLL_S, LAST_POLL_S, POLL_GROWTH = 2.0, 60.0, 1.5
MAX_NAMED = 50
_KEY_CHARS = 16  # of a key, enough to tell the questions of one part apart
_FLIGHT_S = 26 * 3600.0  # a batch has a day
_FLIGHT = "batch:"  # a live job does not wait a day for an answer that a batch will bring


def asking_for(
    context: Context, keeper: Keeper, *, total: int, unit: str, per_unit: int = 1, window: int = WINDOW
) -> "LiveAsking | BatchAsking":
    """Whatever asks in the way that the claim's job wants."""
    if keeper.claim.job(EnrichSpec).mode == "batch":
        return BatchAsking(context, keeper, total=total, unit=unit, per_unit=per_unit)
    return LiveAsking(context, keeper, total=total, unit=unit, per_unit=per_unit, window=window)


class BatchAsking:
    """One step of a part whose job asks in batches; as `workers.enrich.live.Asking`, which asks live."""

    def __init__(self, context: Context, keeper: Keeper, *, total: int, unit: str, per_unit: int = 1) -> None:
        self._context, self._keeper, self._claim = context, keeper, keeper.claim
        self._spec = self._claim.job(EnrichSpec)
        self._settings = llm_settings.llm_settings(context, self._spec.model)
        self._price = llm_settings.price(context, self._settings, self._spec)
        self._learnt: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._ladder = llm_settings.ladder(context, self._settings, self._learn)
        self._total, self._unit, self._per_unit = total, unit, per_unit
        self._num_ended = 0
        self._questions: Iterator[PlannedQuestion | Unaskable] = iter(())
        self._known: tuple[dict[str, list[PlannedQuestion]], list[Unaskable]] | None = None

    def through(self, questions: Iterator[PlannedQuestion | Unaskable], *, num_ended: int) -> None:
        """Take a step; returns once every question has a result. Raises Deferred, JobFailed, Stopped, LeaseLost."""
        self._num_ended, self._questions = num_ended, questions
        asyncio.run(self._step())

    async def _step(self) -> None:
        with self._context.db.read() as tx:
            job = jobs.get(tx, self._claim.job_id)
            made = rows.of_part(tx, self._claim.part_id)
        stopping = job.stopping is not None
        ending = stopping and (job.error or {}).get("code") != BUDGET_SPENT
        async with BatchJobs(self._settings, fallback=self._ladder) as server:
            try:
                waiting = [batch for batch in made if batch.ended_at is None]
                num_completed = [await self._look(server, batch, ending=ending) for batch in waiting]
                self._tell(sum(num_completed))
                if any(batch.ended_at is None for batch in waiting):
                    raise Deferred(_poll_s(max(batch.detail.get("polls", 0) for batch in waiting)))
                if stopping:
                    self._write(lambda tx: single_flight.release(tx, self._claim.part_id))
                    raise Stopped
                await self._ask(server, made)
            except BatchUnavailable as error:
                self._keeper.note(str(error), level="warning")
                raise Deferred(LAST_POLL_S) from error
            except FatalLLMError as error:
                raise JobFailed(error.code, error.message) from error

    async def _look(self, server: BatchJobs, batch: LLMBatch, *, ending: bool) -> int:
        """See to a batch under way; how many of its questions the server has answered."""
        if batch.server_id is None and not await self._submitted(server, batch, ending=ending):
            return 0
        assert batch.server_id is not None
        if ending and not batch.detail.get("asked_to_end"):
            state = await server.cancel(batch.server_id)
            self._write(lambda tx: rows.note(tx, batch, detail={"asked_to_end": True, "polls": 0}))
        else:
            state = await server.poll(batch.server_id)
        if state.ended:
            await self._keep(server, batch, state)
            return 0
        polls = batch.detail.get("polls", 0) + 1
        self._write(lambda tx: rows.note(tx, batch, status=state.status, detail={"polls": polls}))
        return state.num_completed

    async def _submitted(self, server: BatchJobs, batch: LLMBatch, *, ending: bool) -> bool:
        """Have the server work on a batch that is written down; False where it is let go instead."""
        file_id = batch.detail.get("file_id")
        state = await server.find_by_file(file_id) if file_id else None
        if state is None and ending:
            self._write(lambda tx: self._let_go(tx, batch, "cancelled", {}))
            return False
        if state is None:
            if not file_id:
                file_id = await server.upload(self._of(batch))
                self._write(lambda tx: rows.note(tx, batch, detail={"file_id": file_id}))
            state = await server.create(file_id)
        server_id, status = state.id, state.status
        self._write(lambda tx: rows.note(tx, batch, server_id=server_id, status=status))
        return True

    async def _ask(self, server: BatchJobs, made: Sequence[LLMBatch]) -> None:
        """Submit what is missing in as many batches as it takes. Returns where nothing is missing."""
        by_key, unaskable = self._by_key()
        mine, elsewhere = self._take(by_key, unaskable)
        tries = Counter(short for batch in made for short in batch.detail["keys"])
        most = self._settings.max_attempts + len(FORMAT_LEVELS)  # the steps down the ladder are no attempts
        if hopeless := {key for key in mine if tries[key[:_KEY_CHARS]] >= most}:
            self._give_up({key: by_key[key] for key in hopeless})
            mine -= hopeless
        memories = _memories(made)
        askings = [self._asking(by_key[key][0], memories.get(key)) for key in by_key if key in mine]
        submitted = 0
        for chunk in server.chunks(askings):
            batch, fitting = self._begin(chunk)
            if batch is None:
                break
            submitted += 1
            await self._submitted(server, batch, ending=False)
            if fitting < len(chunk):
                break
        self._tell()
        if askings and not submitted:
            self._without_budget()
        if askings or elsewhere:
            raise Deferred(FIRST_POLL_S)

    def _take(
        self, by_key: Mapping[str, list[PlannedQuestion]], unaskable: Sequence[Unaskable]
    ) -> tuple[set[str], set[str]]:
        """Settle what is known; the keys to ask for here, and those that another part's batch is asked for."""
        places = [(place, key) for key, each in by_key.items() for question in each for place in question.places]
        failures = [(place, one.reason, one.detail) for one in unaskable for place in one.places]
        owner = self._claim.part_id
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            enrichment.record_failures(tx, self._claim, failures)
            left = set(by_key) - enrichment.settle_known(tx, self._claim, places)
            held = single_flight.take(tx, owner, [_FLIGHT + key for key in left], lease_s=_FLIGHT_S) if left else set()
            mine = {key.removeprefix(_FLIGHT) for key in held}
            # Of a flight that ended in between there is an answer now.
            late = enrichment.settle_known(tx, self._claim, [(place, key) for place, key in places if key in mine])
            single_flight.release(tx, owner, [_FLIGHT + key for key in late])
        self._num_ended += len(failures) + sum(len(each) for key, each in by_key.items() if key not in left - late)
        return mine - late, left - mine

    def _begin(self, chunk: Sequence[QuestionAttempts]) -> tuple[LLMBatch | None, int]:
        """Write a batch of the chunk down, of as much of it as the cap has room for; and how much that is."""
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            fitting, reserved = self._reserve(tx, chunk)
            if not fitting:
                return None, 0
            keys = [asking.key[:_KEY_CHARS] for asking in chunk[:fitting]]
            detail = {"keys": keys, "reserved": [reserved.pusd, reserved.tokens]}
            batch = rows.add(
                tx, job_id=self._claim.job_id, part_id=self._claim.part_id, num_requests=fitting, detail=detail
            )
        return batch, fitting

    def _reserve(self, tx: Session, chunk: Sequence[QuestionAttempts]) -> tuple[int, Amount]:
        if not self._spec.has_budget:
            return len(chunk), NOTHING
        fitting = len(chunk)
        while fitting:
            wanted = NOTHING
            for asking in chunk[:fitting]:
                wanted += self._worst(asking)
            if usage.reserve(tx, self._claim.job_id, wanted):
                return fitting, wanted
            fitting //= 2
        return 0, NOTHING

    def _worst(self, asking: QuestionAttempts) -> Amount:
        return worst_case(self._price, max_prompt_tokens(asking.body()), asking.max_tokens, batch=True)

    def _without_budget(self) -> None:
        """No question fits any more. Raises Deferred while a batch of the job may leave something, else JobFailed."""
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            single_flight.release(tx, self._claim.part_id)
            others = usage.others_hold(tx, self._claim)
        if others:
            raise Deferred(FIRST_POLL_S)
        raise JobFailed(BUDGET_SPENT, "the job's budget is spent; what was answered is kept")

    async def _keep(self, server: BatchJobs, batch: LLMBatch, state: BatchState) -> None:
        """Keep what an ended batch has brought, in one transaction. Raises FatalLLMError afterwards, where a line
        failed for what no waiting can mend or the batch failed as a whole."""
        by_key, _ = self._by_key()
        askings = self._of(batch)
        # What a line may take is worked out before it is known how it went: the next attempt's limit may be another.
        worst = {asking.key: self._worst(asking) for asking in askings} if self._spec.has_budget else {}
        results: list[BatchResponse] = []
        fatal: FatalLLMError | None = None
        try:
            async for result in server.collect(state, askings):
                results.append(result)
        except FatalLLMError as error:
            fatal = error
        await asyncio.to_thread(self._write, lambda tx: self._record(tx, batch, state.status, results, by_key, worst))
        self._learnt.clear()
        for result in results:
            if result.result is not None:
                by_key.pop(result.attempts.key)
        if state.status == "failed" and not any(result.calls for result in results):
            said = "; ".join(state.errors) or "it does not say why"
            fatal = fatal or FatalLLMError("llm_batch_failed", f"batch {state.id} failed: {said}")
        if fatal is not None:
            raise fatal

    def _record(
        self,
        tx: Session,
        batch: LLMBatch,
        status: str,
        results: Sequence[BatchResponse],
        by_key: Mapping[str, list[PlannedQuestion]],
        worst: Mapping[str, Amount],
    ) -> None:
        ended = [(by_key[one.attempts.key], one.result) for one in results if one.result]
        calls: list[dict[str, Any]] = []
        unstated = NOTHING
        for one in results:
            position = by_key[one.attempts.key][0].places[0].position
            calls += call_rows(
                one.attempts.question,
                one.calls,
                self._settings,
                self._price,
                key=one.attempts.key,
                position=position,
                mode="batch",
            )
            for call in one.calls:
                took, is_all = took_by(call, self._price, batch=True)
                if not is_all and one.attempts.key in worst:
                    unstated += (worst[one.attempts.key] - took).at_most(worst[one.attempts.key])
        enrichment.record_calls(tx, self._claim, calls)
        for (base_url, model), form in self._learnt.items():
            enrichment.keep_form(tx, base_url=base_url, model=model, form=form)
        answered = [outcome for _, outcome in ended if not outcome.reason]
        enrichment.record_answers(tx, [answer_row(outcome, self._settings) for outcome in answered])
        places = [(place, outcome) for each, outcome in ended for question in each for place in question.places]
        enrichment.record_results(
            tx, self._claim, [(place, outcome.key) for place, outcome in places if not outcome.reason]
        )
        enrichment.record_failures(
            tx, self._claim, [(place, outcome.reason, outcome.detail) for place, outcome in places if outcome.reason]
        )
        single_flight.release(tx, self._claim.part_id, [_FLIGHT + one.attempts.key for one in results])
        usage.record(tx, self._claim.job_id, calls)
        again = {one.attempts.key: one.attempts.to_json() for one in results if one.result is None and one.calls}
        self._let_go(tx, batch, status, again, unstated)
        self._num_ended += sum(len(each) for each, _ in ended)
        self._say(batch, status, results)

    def _let_go(
        self, tx: Session, batch: LLMBatch, status: str, again: Mapping[str, Any], unstated: Amount = NOTHING
    ) -> None:
        """End a batch; what was set aside for it goes back, but for what nobody stated the use of."""
        reserved = Amount(*batch.detail["reserved"])
        usage.give_back(tx, self._claim.job_id, (reserved - unstated).at_most(reserved))
        rows.end(tx, batch, status=status, again=again)

    def _say(self, batch: LLMBatch, status: str, results: Sequence[BatchResponse]) -> None:
        num_answered = sum(one.result is not None and not one.result.reason for one in results)
        left = sum(one.result is None for one in results)
        said = f"batch {batch.server_id} {status}: {num_answered} of {len(results)} answered, {left} to be asked again"
        self._keeper.note(said, level="info" if status == "completed" else "warning")
        failed = [one for one in results if one.result is not None and one.result.reason]
        for one in failed[:MAX_NAMED]:
            assert one.result is not None
            self._keeper.note(
                f'{one.attempts.question.strategy.ref}: no answer about "{one.attempts.question.label}": {one.result.reason}',
                level="warning",
                reason=one.result.reason,
                detail=one.result.detail,
            )

    def _give_up(self, by_key: Mapping[str, list[PlannedQuestion]]) -> None:
        detail = "asked for in several batches"
        places = [place for each in by_key.values() for question in each for place in question.places]
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            enrichment.record_failures(tx, self._claim, [(place, "batch_unfinished", detail) for place in places])
            single_flight.release(tx, self._claim.part_id, [_FLIGHT + key for key in by_key])
        self._num_ended += sum(map(len, by_key.values()))
        self._keeper.note(f"{len(by_key)} questions have no answer after several batches", level="warning")

    def _by_key(self) -> tuple[dict[str, list[PlannedQuestion]], list[Unaskable]]:
        """All questions of the part without a result, worked out once a step and only where they are needed."""
        if self._known is None:
            by_key: dict[str, list[PlannedQuestion]] = {}
            unaskable: list[Unaskable] = []
            for question in self._questions:
                if isinstance(question, Unaskable):
                    unaskable.append(question)
                else:
                    by_key.setdefault(cache_key_of(question.ask, self._settings), []).append(question)
            self._known = by_key, unaskable
        return self._known

    def _of(self, batch: LLMBatch) -> list[QuestionAttempts]:
        """The questions of a batch, as they were when it was made."""
        with self._context.db.read() as tx:
            before = [one for one in rows.of_part(tx, self._claim.part_id) if one.id < batch.id]
        memories, wanted = _memories(before), set(batch.detail["keys"])
        by_key, _ = self._by_key()
        return [self._asking(each[0], memories.get(key)) for key, each in by_key.items() if key[:_KEY_CHARS] in wanted]

    def _asking(self, question: PlannedQuestion, memory: Mapping[str, Any] | None) -> QuestionAttempts:
        made = QuestionAttempts(question.ask, self._settings, self._ladder)
        if memory is not None:
            made.restore(memory)
        return made

    def _learn(self, base_url: str, model: str, form: Mapping[str, Any]) -> None:
        self._learnt[base_url, model] = form

    def _write(self, write: Callable[[Session], Any]) -> None:
        with self._context.db.write() as tx:
            claims.check(tx, self._claim)
            write(tx)

    def _tell(self, num_completed: int = 0) -> None:
        done = (self._num_ended + num_completed) // self._per_unit
        self._keeper.progress(min(done, self._total), self._total, self._unit)


def _memories(made: Sequence[LLMBatch]) -> dict[str, Mapping[str, Any]]:
    """By key: what to go on with, as the last batch left it."""
    return {key: memory for batch in made for key, memory in batch.detail.get("again", {}).items()}


def _poll_s(polls: int) -> float:
    return float(min(LAST_POLL_S, FIRST_POLL_S * POLL_GROWTH ** min(polls, 20)))
