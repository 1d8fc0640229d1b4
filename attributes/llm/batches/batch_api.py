"""The endpoints of an OpenAI-compatible Batch API, with retries: upload, create, retrieve, cancel, download."""

import asyncio
import json
import re
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Protocol, TypeVar

from attributes.json_types import JSONObject
from attributes.llm import retry_policy
from attributes.llm.concurrency import POLL_S, RunStopped
from attributes.llm.results import FatalLLMError
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport
from limbeck.shared.retry import backoff_s

if TYPE_CHECKING:
    from openai import AsyncOpenAI, Omit

T = TypeVar("T")
FINAL_STATUSES = ("completed", "failed", "expired", "cancelled")
ENDPOINT: Final = "/v1/chat/completions"
TRANSFER_TIMEOUT_S = 900.0
MAX_LISTED = 5_000
_QUEUE_FULL_CODES = ("token_limit_exceeded", "enqueued_token_limit_exceeded", "batch_queue_full")
_QUEUE_FULL = re.compile(
    r"enqueued (prompt )?(token|request)|(token|request)s? (that are )?enqueued"
    r"|too many (pending |active |open |enqueued )?batch"
    r"|batch[^.]{0,40}(quota|queue|limit)[^.]{0,40}(reached|exceeded|full|exhausted)",
    re.IGNORECASE,
)


class HTTPContent(Protocol):
    """A response of the openai library, not yet parsed."""

    @property
    def content(self) -> bytes:
        """The body of the response."""


@dataclass(frozen=True, kw_only=True)
class BatchState:
    """The state of a batch at the server. `errors` say why the whole batch failed, each with its line in the file.

    `queue_is_full`: it failed because too many requests were waiting in batches; nothing of it was processed.
    """

    id: str
    status: str
    num_requests: int = 0
    num_completed: int = 0
    num_failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[str, ...] = ()
    queue_is_full: bool = False

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in FINAL_STATUSES


class BatchUnavailable(Exception):
    """A request to the Batch API failed, also after waiting. The batch is unchanged; try again later."""


class BatchQueueFull(Exception):
    """The server takes no batch of this size now. Wait until other batches have ended, or send a smaller one."""


class BatchAPI:
    """The Batch API of one server.

    Raises FatalLLMError for faults that waiting cannot fix and BatchUnavailable for transient ones. For a batch that
    failed nothing is raised; the reason is in its `BatchState`. Once `should_stop` returns True, waits and requests
    that change no batch end with RunStopped; requests that create or cancel a batch go on.
    """

    def __init__(
        self, settings: LLMSettings, transport: Transport, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._should_stop = should_stop

    async def upload(self, file: IO[bytes]) -> str:
        """Upload a file of requests, at no cost. Returns the file's id."""
        uploaded = await self._call("the upload of a batch file", lambda api: self._upload(api, file))
        file_id = str(uploaded.get("id") or "")
        if not file_id:
            raise BatchUnavailable("the LLM server's response to an upload has no file id")
        return file_id

    async def create(self, file_id: str) -> BatchState:
        """Create a batch of the requests in an uploaded file. Raises also BatchQueueFull."""
        created = await self._call(
            "the creation of a batch",
            lambda api: api.batches.with_raw_response.create(
                input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h"
            ),
            # If only the response was lost, the batch exists, and a second one would be paid for again.
            find_existing=lambda: self._find_by_file(file_id),
            changes_batches=True,
        )
        return self._state(created)

    async def find_by_file(self, file_id: str) -> BatchState | None:
        """The batch that was created from a file; None if no batch was."""
        found: list[JSONObject | None] = []

        async def search(_api: "AsyncOpenAI") -> None:
            found.append(await self._find_by_file(file_id))

        await self._call("the list of batches", search)
        return self._state(found[-1]) if found[-1] else None

    async def retrieve(self, batch_id: str) -> BatchState:
        """The current state of a batch."""
        return self._state(await self._call("a batch", lambda api: api.batches.with_raw_response.retrieve(batch_id)))

    async def cancel(self, batch_id: str) -> BatchState:
        """Cancel a batch. The server ends it some time later."""
        data = await self._call(
            "the cancellation of a batch",
            lambda api: api.batches.with_raw_response.cancel(batch_id),
            changes_batches=True,
        )
        return self._state(data)

    async def download(self, file_id: str) -> IO[bytes]:
        """Download a file to a temporary file on disk, which is deleted when closed."""
        file = tempfile.TemporaryFile()  # noqa: SIM115

        async def fetch(api: "AsyncOpenAI") -> None:
            file.seek(0)
            file.truncate()
            async with (
                asyncio.timeout(TRANSFER_TIMEOUT_S),
                api.files.with_streaming_response.content(file_id, timeout=TRANSFER_TIMEOUT_S) as response,
            ):
                async for piece in response.iter_bytes():
                    file.write(piece)

        try:
            await self._call("the download of a batch's responses", fetch)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def _state(self, data: JSONObject) -> BatchState:
        counts, errors = data.get("request_counts"), data.get("errors")
        counted = counts if isinstance(counts, dict) else {}
        listed = errors.get("data") if isinstance(errors, dict) else errors
        listed = listed if isinstance(listed, list) else []
        if not data.get("id"):
            raise BatchUnavailable("the LLM server's response has no batch id")
        return BatchState(
            id=str(data["id"]),
            status=str(data.get("status") or "").lower(),
            num_requests=_count(counted.get("total")),
            num_completed=_count(counted.get("completed")),
            num_failed=_count(counted.get("failed")),
            output_file_id=str(data.get("output_file_id") or "") or None,
            error_file_id=str(data.get("error_file_id") or "") or None,
            errors=tuple(map(self._error_text, listed)),
            queue_is_full=any(map(_is_queue_full, listed)),
        )

    def _error_text(self, error: object) -> str:
        if not isinstance(error, dict):
            return self._transport.printable(error)
        line = f"line {error['line']}: " if error.get("line") else ""
        return line + self._transport.printable(error.get("message") or error.get("code") or "an unnamed error")

    async def _upload(self, api: "AsyncOpenAI", file: IO[bytes]) -> HTTPContent:
        file.seek(0)
        async with asyncio.timeout(TRANSFER_TIMEOUT_S):
            return await api.files.with_raw_response.create(
                file=("limbeck.jsonl", file, "application/jsonl"), purpose="batch", timeout=TRANSFER_TIMEOUT_S
            )

    async def _find_by_file(self, file_id: str) -> JSONObject | None:
        """The batch that was created from this file, searched among the latest `MAX_LISTED`."""
        from openai import omit

        after: str | Omit = omit
        for _ in range(MAX_LISTED // 100):
            listed = json_object(
                (await self._transport.client().batches.with_raw_response.list(after=after, limit=100)).content
            )
            data = listed.get("data")
            batches = [batch for batch in data if isinstance(batch, dict)] if isinstance(data, list) else []
            for batch in batches:
                if batch.get("input_file_id") == file_id:
                    return batch
            if not batches or not listed.get("has_more"):
                return None
            after = str(batches[-1].get("id"))
        return None

    async def _call(
        self,
        what: str,
        call: Callable[["AsyncOpenAI"], Awaitable[HTTPContent | None]],
        *,
        find_existing: Callable[[], Awaitable[JSONObject | None]] | None = None,
        changes_batches: bool = False,
    ) -> JSONObject:
        """The JSON object of a response; empty if `call` returns None because it stores its result itself.

        Waits and retries after transient faults. `find_existing` is called before each retry; if it finds that the
        earlier attempt did succeed, its result is returned.
        """
        import httpx2
        import openai

        settings = self._settings
        for attempt in range(1, settings.max_attempts + 1):
            try:
                if attempt > 1 and find_existing is not None and (existing := await find_existing()) is not None:
                    return existing
                request = call(self._transport.client())
                response = await (request if changes_batches else self._unless_stopped(request))
                return {} if response is None else json_object(response.content)
            except openai.APIStatusError as error:
                raw = self._transport.parse_response(error.response)
            except (openai.APIConnectionError, httpx2.HTTPError, TimeoutError) as error:
                raw = RawResponse(status="connection", detail=f"the connection broke ({type(error).__name__})")
            if _QUEUE_FULL.search(raw.detail) and raw.http_status is not None:
                raise BatchQueueFull(raw.detail)
            self._raise_if_fatal(raw, what)
            wait_s = raw.retry_after_s
            if wait_s is None:
                wait_s = backoff_s(attempt, first_s=retry_policy.FIRST_WAIT_S, max_s=settings.max_wait_s)
            if attempt == settings.max_attempts or wait_s > settings.max_wait_s:
                break
            await self._unless_stopped(asyncio.sleep(wait_s))
        raise BatchUnavailable(f"{what}: {raw.detail}, after {attempt} attempts")

    async def _unless_stopped(self, work: Awaitable[T]) -> T:
        """The result of `work`; cancels it and raises RunStopped once `should_stop` returns True."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=POLL_S))[0]:
                if self._should_stop():
                    raise RunStopped
            return task.result()
        finally:
            task.cancel()

    def _raise_if_fatal(self, raw: RawResponse, what: str) -> None:
        """Raises FatalLLMError for a fault that waiting cannot fix."""
        if raw.http_status in (404, 405, 501) and raw.status != "llm_quota_exhausted":
            raise FatalLLMError(
                "llm_no_batches", f"{self._settings.base_url} has no Batch API, or lost {what}: {raw.detail}"
            )
        if raw.status.startswith("llm_"):
            raise FatalLLMError(raw.status, f"the LLM server refuses {what} ({raw.detail})")
        if raw.status in ("bad_request", "refused"):
            raise FatalLLMError("llm_batch_failed", f"the LLM server refuses {what} ({raw.detail})")


def json_object(content: bytes) -> JSONObject:
    """The JSON object in `content`; empty if there is none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_queue_full(error: object) -> bool:
    """Whether an error of a failed batch says that too many requests wait in batches (OpenAI, Azure OpenAI)."""
    if not isinstance(error, dict):
        return bool(_QUEUE_FULL.search(str(error)))
    return error.get("code") in _QUEUE_FULL_CODES or bool(_QUEUE_FULL.search(str(error.get("message"))))


def _count(value: object) -> int:
    return value if type(value) is int else 0
