"""OpenAI's Batch API: half the price, responses within a day. Files of requests instead of single calls.

    async with BatchJobs(LLMSettings(base_url=..., model=...)) as batches:
        pending = batches.prepare(questions)
        state = await batches.submit(pending)            # store state.id, and to_json() of each of `pending`
        state = await batches.poll(state.id)             # later, in any process, until state.ended
        async for response in batches.collect(state, pending): ...

The `custom_id` of a request is the question's key (a sha256, exactly the 64 characters allowed). A batch that expired
or was cancelled returns what it completed. Unprocessed questions, and those that need another response format or a
correction, are returned for the next batch, because a line of a file cannot be retried alone. A server that has too
many requests in batches already ("Enqueued token limit reached") gets smaller batches, later. `query_all` does all of
this. Sources: the types of the openai library 3.54 and OpenAI's published API description (limits, states,
`batch_expired` and related codes).
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from attributes.json_types import JSONObject
from attributes.llm.batches.batch_api import (
    ENDPOINT,
    BatchAPI,
    BatchQueueFull,
    BatchState,
    BatchUnavailable,
    json_object,
)
from attributes.llm.concurrency import POLL_S, OnResult, QueryTotals
from attributes.llm.model_profile import FORMAT_LEVELS, LearnedProfiles, shared_profiles
from attributes.llm.results import Call, FatalLLMError, QuestionResult
from attributes.llm.retry_policy import QuestionAttempts
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport
from attributes.prompts.questions import Question

__all__ = ["BatchJobs", "BatchQueueFull", "BatchResponse", "BatchState", "BatchUnavailable"]

MAX_REQUESTS = 50_000
MAX_BYTES = 100_000_000  # half of OpenAI's current limit; 100 MB was its limit before, and still is at other servers


@dataclass(frozen=True, kw_only=True)
class BatchResponse:
    """The response of a batch to one question: a result, or None if the question must go into another batch.

    `calls` are the calls of this batch, for the record of usage; empty if the batch ended before it processed the
    question. `pending_because` says why `result` is None: `batch_expired`, `batch_cancelled`, … or `asked_differently`
    (the next request has a correction or another response format).
    """

    attempts: QuestionAttempts
    calls: Sequence[Call]
    result: QuestionResult | None = None
    pending_because: str = ""


class BatchJobs:
    """The Batch API of one server for one model. Belongs to the event loop that first calls it; needs `close`.

    Once `should_stop` returns True, uploads, downloads and waits raise RunStopped (see `BatchAPI`). `query_all` has its
    own `should_stop`.
    """

    def __init__(
        self,
        settings: LLMSettings,
        *,
        profiles: LearnedProfiles = shared_profiles,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self._profiles = profiles
        self._transport = Transport(settings)
        self._api = BatchAPI(settings, self._transport, should_stop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    def prepare(self, questions: Iterable[Question]) -> list[QuestionAttempts]:
        """The questions to submit, without duplicates. To continue from another process, use `restore` on each."""
        attempts = (QuestionAttempts(question, self.settings, self._profiles) for question in questions)
        return list({one.key: one for one in attempts}.values())

    def chunks(
        self, pending: Iterable[QuestionAttempts], max_requests: int | None = None
    ) -> Iterator[list[QuestionAttempts]]:
        """Split the questions into one list per batch, within `max_requests` (or `MAX_REQUESTS`) and `MAX_BYTES`."""
        chunk: list[QuestionAttempts] = []
        num_bytes = 0
        for attempts in pending:
            size = len(_file_line(attempts))
            if chunk and (len(chunk) >= (max_requests or MAX_REQUESTS) or num_bytes + size > MAX_BYTES):
                yield chunk
                chunk, num_bytes = [], 0
            chunk.append(attempts)
            num_bytes += size
        if chunk:
            yield chunk

    async def submit(self, chunk: Iterable[QuestionAttempts]) -> BatchState:
        """Upload the requests of one chunk and create a batch.

        Raises FatalLLMError, BatchUnavailable and BatchQueueFull.
        """
        return await self.create(await self.upload(chunk))

    async def upload(self, chunk: Iterable[QuestionAttempts]) -> str:
        """Upload the requests of one chunk, at no cost. Returns the file's id. Raises as `submit` does."""
        with tempfile.TemporaryFile() as file:
            file.writelines(_file_line(attempts) for attempts in chunk)
            return await self._api.upload(file)

    async def create(self, file_id: str) -> BatchState:
        """Create a batch from an uploaded file. Raises as `submit` does."""
        return await self._api.create(file_id)

    async def find_by_file(self, file_id: str) -> BatchState | None:
        """The batch that an earlier process created from a file; None if it created none. Raises as `submit` does."""
        return await self._api.find_by_file(file_id)

    async def poll(self, batch_id: str) -> BatchState:
        """The current state of a batch. Raises FatalLLMError and BatchUnavailable."""
        return await self._api.retrieve(batch_id)

    async def cancel(self, batch_id: str) -> BatchState:
        """Cancel a batch; it ends some minutes later. Raises FatalLLMError and BatchUnavailable."""
        return await self._api.cancel(batch_id)

    async def collect(self, state: BatchState, pending: Iterable[QuestionAttempts]) -> AsyncIterator[BatchResponse]:
        """The responses of an ended batch to each of its questions, the processed ones first.

        Raises BatchUnavailable before the first response, and FatalLLMError after the last one if a line failed for a
        reason that waiting cannot fix.
        """
        missing = {attempts.key: attempts for attempts in pending}
        reasons: dict[str, str] = {}
        fatal: FatalLLMError | None = None
        with ExitStack() as stack:
            files = [
                stack.enter_context(await self._api.download(file_id))
                for file_id in (state.output_file_id, state.error_file_id)
                if file_id
            ]
            for line in (line for file in files for line in _objects(file)):
                key = str(line.get("custom_id"))
                raw = self._parse_line(line, missing.get(key))
                if isinstance(raw, str):
                    reasons[key] = raw
                elif attempts := missing.pop(key, None):
                    response, error = _respond(attempts, raw)
                    fatal = error or fatal
                    yield response
        for key, attempts in missing.items():
            because = reasons.get(key, f"batch_{state.status}")
            yield BatchResponse(attempts=attempts, calls=(), pending_because=because)
        if fatal is not None:
            raise fatal

    async def query_all(
        self,
        questions: Iterable[Question],
        *,
        on_result: OnResult | None = None,
        on_state: Callable[[BatchState], None] = lambda _state: None,
        should_stop: Callable[[], bool] = lambda: False,
        poll_s: float = 60.0,
    ) -> QueryTotals:
        """Send all questions, in as many batches as needed, one batch after another.

        `on_state` is called with every batch that is created or polled. When `should_stop` returns True, the current
        batch is cancelled, and what it completed is kept. A question that no batch processed ends as
        `batch_unfinished`. A batch that the server has no room for is sent again in halves, for as long as it takes.
        Raises FatalLLMError, also for a batch that failed as a whole, and BatchUnavailable.
        """
        totals = QueryTotals()
        pending, max_requests = self.prepare(questions), MAX_REQUESTS
        # Falling back to the next response format does not count as an attempt.
        for _ in range(self.settings.max_attempts + len(FORMAT_LEVELS)):
            next_round: list[QuestionAttempts] = []
            while pending:
                if totals.stopped or should_stop():
                    totals.stopped = "asked"
                    break
                chunk = next(self.chunks(pending, max_requests))
                state = await self._run_batch(chunk, totals, on_state, should_stop, poll_s)
                if state is None:
                    max_requests = max(1, len(chunk) // 2)
                    await _sleep(poll_s, unless=should_stop)
                    continue
                next_round += await self._report_all(state, chunk, totals, on_result)
                pending = pending[len(chunk) :]
            pending = next_round + pending
            if totals.stopped or not pending:
                break
        for attempts in pending:
            reason, detail = ("stopped", "") if totals.stopped else ("batch_unfinished", "sent in several batches")
            if attempts.calls or not totals.stopped:
                await _report(attempts.finish(reason, detail), totals, on_result)
        return totals

    async def _run_batch(
        self,
        chunk: list[QuestionAttempts],
        totals: QueryTotals,
        on_state: Callable[[BatchState], None],
        should_stop: Callable[[], bool],
        poll_s: float,
    ) -> BatchState | None:
        """Submit a batch and wait until it has ended; None if the server has no room for it."""
        try:
            submitted = await self.submit(chunk)
        except BatchQueueFull:
            return None
        state = await self._wait_until_ended(submitted, totals, on_state, should_stop, poll_s)
        return None if state.status == "failed" and state.queue_is_full else state

    async def _report_all(
        self, state: BatchState, chunk: list[QuestionAttempts], totals: QueryTotals, on_result: OnResult | None
    ) -> list[QuestionAttempts]:
        """Report the results of an ended batch. Returns the questions that are still open."""
        still_open: list[QuestionAttempts] = []
        num_processed = 0
        async for response in self.collect(state, chunk):
            num_processed += bool(response.calls)
            if response.result is None:
                still_open.append(response.attempts)
            else:
                await _report(response.result, totals, on_result)
        if state.status == "failed" and not num_processed:
            errors = "; ".join(state.errors) or "the server gives no reason"
            raise FatalLLMError("llm_batch_failed", f"batch {state.id} failed: {errors}")
        return still_open

    async def _wait_until_ended(
        self,
        state: BatchState,
        totals: QueryTotals,
        on_state: Callable[[BatchState], None],
        should_stop: Callable[[], bool],
        poll_s: float,
    ) -> BatchState:
        """Poll a batch until its status is final; cancel it when `should_stop` returns True."""
        on_state(state)
        while not state.ended:
            if should_stop() and not totals.stopped:
                totals.stopped = "asked"
                await self.cancel(state.id)
            await _sleep(poll_s, unless=lambda: not totals.stopped and should_stop())
            state = await self.poll(state.id)
            on_state(state)
        return state

    def _parse_line(self, line: JSONObject, attempts: QuestionAttempts | None) -> RawResponse | str:
        """The response in a line of an output or error file; a string says why the batch did not process it."""
        response, error = line.get("response"), line.get("error")
        if isinstance(response, dict) and type(response.get("status_code")) is int:
            status = response["status_code"]
            sent = attempts.body() if attempts is not None and status >= 400 else None  # to know what an error refuses
            return self._transport.parse(status, response.get("body"), {}, sent)
        code = str(error.get("code") or "") if isinstance(error, dict) else ""
        if code in ("batch_expired", "batch_cancelled"):
            return code
        message = self._transport.printable(error.get("message")) if isinstance(error, dict) else ""
        status = "timeout" if code == "request_timeout" else "server_error"
        return RawResponse(status=status, detail=f"{code}: {message}")


def _respond(attempts: QuestionAttempts, raw: RawResponse) -> tuple[BatchResponse, FatalLLMError | None]:
    """Record one response and decide what follows; the error is returned so that the other lines are still read."""
    attempts.record(raw)
    try:
        step = attempts.next_step(raw)
    except FatalLLMError as error:
        return BatchResponse(attempts=attempts, calls=attempts.calls[-1:], pending_because=error.code), error
    if isinstance(step, QuestionResult):
        return BatchResponse(attempts=attempts, calls=attempts.calls[-1:], result=step), None
    return BatchResponse(attempts=attempts, calls=attempts.calls[-1:], pending_because="asked_differently"), None


def _file_line(attempts: QuestionAttempts) -> bytes:
    """One request as a line of the uploaded file."""
    body = {"custom_id": attempts.key, "method": "POST", "url": ENDPOINT, "body": attempts.body()}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _objects(file: IO[bytes]) -> Iterator[JSONObject]:
    """The lines of a file that are JSON objects. Only a line feed ends a line: texts may hold other separators."""
    for line in file:
        if value := json_object(line):
            yield value


async def _sleep(seconds: float, *, unless: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not unless() and (left_s := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, POLL_S))


async def _report(result: QuestionResult, totals: QueryTotals, on_result: OnResult | None) -> None:
    totals.add(result)
    if on_result is not None and (awaitable := on_result(result)) is not None:
        await awaitable
