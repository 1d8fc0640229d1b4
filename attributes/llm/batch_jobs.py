"""OpenAI's Batch API: half the price, an answer within a day. Files of requests instead of calls.

    async with BatchJobs(LLMSettings(base_url=..., model=...)) as batches:
        askings = batches.begin(asks)
        state = await batches.submit(askings)            # keep state.id, and each asking.memory()
        state = await batches.poll(state.id)             # later, in any process, until state.ended
        async for result in batches.collect(state, askings): ...

A question is named by its key (`custom_id`, 64 characters at most, which a sha256 just fits). A batch that expired, or
was cancelled, gives what it completed; the questions it never came to, and those that have to be asked in another form
or with a correction, come back to be put into the next one: a line of a file cannot be asked again by itself. So does
`ask_all`, from the first file to the last answer. Sources: the types of the openai library 3.54 and OpenAI's published
API description (limits, states, `batch_expired` and its like).
"""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from attributes.llm.batch_api import ENDPOINT, BatchServer, BatchState, BatchUnavailable, json_object
from attributes.llm.concurrency import POLL_S, OnOutcome, Tally
from attributes.llm.response_format import RUNGS, FormatFallback, shared_ladder
from attributes.llm.results import Call, FatalLLMError, QuestionResult
from attributes.llm.retry_policy import QuestionAttempts, Retry
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport
from attributes.prompts.questions import Question

__all__ = ["BatchJobs", "BatchResponse", "BatchState", "BatchUnavailable"]

MAX_REQUESTS = 50_000
MAX_BYTES = 100_000_000  # half of what OpenAI takes today; it was 100 MB once, and elsewhere still is


@dataclass(frozen=True, kw_only=True)
class BatchResponse:
    """What a batch brought of one question: an outcome, or None where it has to be asked again.

    `calls` are those that this batch made, for the ledger; none where it ended before it came to the question. `left`
    says why it has to be asked again: `batch_expired`, `batch_cancelled`, … or `asked_differently`.
    """

    asking: QuestionAttempts
    calls: Sequence[Call]
    outcome: QuestionResult | None = None
    left: str = ""


class BatchJobs:
    """The Batch API of one server for one model. Belongs to the event loop that first calls it; needs `close`."""

    def __init__(self, settings: LLMSettings, *, ladder: FormatFallback = shared_ladder) -> None:
        self.settings = settings
        self._ladder = ladder
        self._wire = Transport(settings)
        self._server = BatchServer(settings, self._wire)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    def begin(self, asks: Iterable[Question]) -> list[QuestionAttempts]:
        """Questions to submit, equal ones once; `QuestionAttempts.recall` goes on with what another process remembered."""
        made = (QuestionAttempts(ask, self.settings, self._ladder) for ask in asks)
        return list({asking.key: asking for asking in made}.values())

    def chunks(self, askings: Iterable[QuestionAttempts]) -> Iterator[list[QuestionAttempts]]:
        """The questions in as many lists as there must be batches."""
        chunk: list[QuestionAttempts] = []
        num_bytes = 0
        for asking in askings:
            size = len(_line(asking))
            if chunk and (len(chunk) >= MAX_REQUESTS or num_bytes + size > MAX_BYTES):
                yield chunk
                chunk, num_bytes = [], 0
            chunk.append(asking)
            num_bytes += size
        if chunk:
            yield chunk

    async def submit(self, askings: Iterable[QuestionAttempts]) -> BatchState:
        """Upload the requests of one chunk and have them worked on. Raises FatalLLMError and BatchUnavailable."""
        return await self.make(await self.upload(askings))

    async def upload(self, askings: Iterable[QuestionAttempts]) -> str:
        """Upload the requests of one chunk, which costs nothing yet; the file's id. Raises as `submit` does."""
        with tempfile.TemporaryFile() as file:
            file.writelines(_line(asking) for asking in askings)
            return await self._server.upload(file)

    async def make(self, file_id: str) -> BatchState:
        """Have the requests of an uploaded file worked on. Raises as `submit` does."""
        return await self._server.make(file_id)

    async def made_from(self, file_id: str) -> BatchState | None:
        """The batch that an earlier process had made from a file, if it came to that. Raises as `submit` does."""
        return await self._server.made_from(file_id)

    async def poll(self, batch_id: str) -> BatchState:
        """How a batch stands. Raises FatalLLMError and BatchUnavailable."""
        return await self._server.state(batch_id)

    async def cancel(self, batch_id: str) -> BatchState:
        """Ask for the end of a batch, which comes some minutes later. Raises FatalLLMError and BatchUnavailable."""
        return await self._server.cancel(batch_id)

    async def collect(self, state: BatchState, askings: Iterable[QuestionAttempts]) -> AsyncIterator[BatchResponse]:
        """What an ended batch brought of each of its questions, first those that it came to.

        Raises BatchUnavailable before the first result, and FatalLLMError after the last one, where a line failed for
        what no waiting can mend.
        """
        left = {asking.key: asking for asking in askings}
        reasons: dict[str, str] = {}
        fatal: FatalLLMError | None = None
        with ExitStack() as held:
            files = [
                held.enter_context(await self._server.file(file_id))
                for file_id in (state.output_file_id, state.error_file_id)
                if file_id
            ]
            for line in (line for file in files for line in _objects(file)):
                key = str(line.get("custom_id"))
                reply = self._reply(line)
                if isinstance(reply, str):
                    reasons[key] = reply
                elif asking := left.pop(key, None):
                    asking.note(reply)
                    step: QuestionResult | Retry | None = None
                    why = "asked_differently"
                    try:
                        step = asking.judge(reply)
                    except FatalLLMError as error:
                        fatal, why = error, error.code
                    outcome = step if isinstance(step, QuestionResult) else None
                    yield BatchResponse(
                        asking=asking, calls=asking.calls[-1:], outcome=outcome, left="" if outcome else why
                    )
        for key, asking in left.items():
            yield BatchResponse(asking=asking, calls=(), left=reasons.get(key, f"batch_{state.status}"))
        if fatal is not None:
            raise fatal

    async def ask_all(
        self,
        asks: Iterable[Question],
        *,
        on_outcome: OnOutcome | None = None,
        on_state: Callable[[BatchState], None] = lambda _state: None,
        should_stop: Callable[[], bool] = lambda: False,
        poll_s: float = 60.0,
    ) -> Tally:
        """Ask everything in as many batches as it takes, one after the other.

        `on_state` is told of every batch as it is made and polled. When `should_stop` says so, the batch at hand is
        cancelled, and what it completed is kept. A question that no batch came to ends as `batch_unfinished`. Raises
        FatalLLMError, also for a batch that failed as a whole, and BatchUnavailable.
        """
        tally = Tally()
        waiting = self.begin(asks)
        for _ in range(self.settings.max_attempts + len(RUNGS)):  # the steps down the ladder are no attempts
            again: list[QuestionAttempts] = []
            for chunk in self.chunks(waiting):
                if tally.stopped or should_stop():
                    tally.stopped = "asked"
                    break
                state = await self._until_ended(await self.submit(chunk), tally, on_state, should_stop, poll_s)
                came = 0
                async for result in self.collect(state, chunk):
                    came += bool(result.calls)
                    if result.outcome is None:
                        again.append(result.asking)
                    else:
                        await _report(result.outcome, tally, on_outcome)
                if state.status == "failed" and not came:
                    said = "; ".join(state.errors) or "it does not say why"
                    raise FatalLLMError("llm_batch_failed", f"batch {state.id} failed: {said}")
            waiting = again
            if tally.stopped or not waiting:
                break
        for asking in waiting:
            reason, detail = ("stopped", "") if tally.stopped else ("batch_unfinished", "asked for in several batches")
            if asking.calls or not tally.stopped:
                await _report(asking.end(reason, detail), tally, on_outcome)
        return tally

    async def _until_ended(
        self,
        state: BatchState,
        tally: Tally,
        on_state: Callable[[BatchState], None],
        should_stop: Callable[[], bool],
        poll_s: float,
    ) -> BatchState:
        on_state(state)
        while not state.ended:
            if should_stop() and not tally.stopped:
                tally.stopped = "asked"
                await self.cancel(state.id)
            await _sleep(poll_s, unless=lambda: not tally.stopped and should_stop())
            state = await self.poll(state.id)
            on_state(state)
        return state

    def _reply(self, line: Mapping[str, Any]) -> RawResponse | str:
        """What a line of an output or error file means; a string says why the batch never came to it."""
        response, error = line.get("response"), line.get("error")
        if isinstance(response, dict) and type(response.get("status_code")) is int:
            return self._wire.read(response["status_code"], response.get("body"), {})
        code = str(error.get("code") or "") if isinstance(error, dict) else ""
        if code in ("batch_expired", "batch_cancelled"):
            return code
        said = self._wire.said(error.get("message")) if isinstance(error, dict) else ""
        return RawResponse(status="timeout" if code == "request_timeout" else "server_error", detail=f"{code}: {said}")


def _line(asking: QuestionAttempts) -> bytes:
    """One request of a file."""
    body = {"custom_id": asking.key, "method": "POST", "url": ENDPOINT, "body": asking.body()}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _objects(file: IO[bytes]) -> Iterator[Mapping[str, Any]]:
    """The lines of a file that are JSON objects. Only a line feed ends a line: texts may hold other separators."""
    for line in file:
        if value := json_object(line):
            yield value


async def _sleep(seconds: float, *, unless: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not unless() and (left_s := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left_s, POLL_S))


async def _report(outcome: QuestionResult, tally: Tally, on_outcome: OnOutcome | None) -> None:
    tally.add(outcome)
    if on_outcome is not None and (waiting := on_outcome(outcome)) is not None:
        await waiting
