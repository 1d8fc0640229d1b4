"""The server's side of its Batch API: files up and down, batches made, looked at and ended; and the retries of it."""

import asyncio
import json
import random
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from attributes.llm import retry_policy as retries
from attributes.llm.results import FatalLLMError
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport

if TYPE_CHECKING:
    from openai import AsyncOpenAI

ENDED = ("completed", "failed", "expired", "cancelled")
ENDPOINT = "/v1/chat/completions"
TRANSFER_TIMEOUT_S = 900.0
MOST_LISTED = 5_000


@dataclass(frozen=True, kw_only=True)
class BatchState:
    """A batch as the server has it. `errors` say why it failed as a whole, each with the line of its file."""

    id: str
    status: str
    num_requests: int = 0
    num_completed: int = 0
    num_failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[str, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED


class BatchUnavailable(Exception):
    """The server did not do what was asked, also after waiting; the batch is as it was. Try again later."""


class BatchServer:
    """Raises FatalLLMError for what no waiting mends, BatchUnavailable for what may pass; never for a batch's fate."""

    def __init__(self, settings: LLMSettings, wire: Transport) -> None:
        self._settings = settings
        self._wire = wire

    async def upload(self, file: IO[bytes]) -> str:
        """Send a file of requests; its id. By itself it costs nothing."""
        uploaded = await self._asked("the upload of a batch file", lambda api: self._upload(api, file))
        file_id = str(uploaded.get("id") or "")
        if not file_id:
            raise BatchUnavailable("the LLM server's answer to an upload names no file")
        return file_id

    async def make(self, file_id: str) -> BatchState:
        """A batch of the requests in an uploaded file."""
        how: Any = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
        made = await self._asked(
            "the making of a batch",
            lambda api: api.batches.with_raw_response.create(**how),
            # An answer that was lost on its way may have made a batch, which would be paid for twice.
            found=lambda: self._made_from(file_id),
        )
        return self._state(made)

    async def made_from(self, file_id: str) -> BatchState | None:
        """The batch that was made from a file, if there is one."""
        found: list[Mapping[str, Any] | None] = []

        async def look(_api: "AsyncOpenAI") -> None:
            found.append(await self._made_from(file_id))

        await self._asked("the list of batches", look)
        return self._state(found[-1]) if found[-1] else None

    async def state(self, batch_id: str) -> BatchState:
        """How a batch stands."""
        return self._state(await self._asked("a batch", lambda api: api.batches.with_raw_response.retrieve(batch_id)))

    async def cancel(self, batch_id: str) -> BatchState:
        """The batch, about to end."""
        said = await self._asked("the end of a batch", lambda api: api.batches.with_raw_response.cancel(batch_id))
        return self._state(said)

    async def file(self, file_id: str) -> IO[bytes]:
        """A file of the server's, on this machine's disk; it goes when it is closed."""
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
            await self._asked("a batch's answers", fetch)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def _state(self, data: Mapping[str, Any]) -> BatchState:
        counts, errors = data.get("request_counts"), data.get("errors")
        counted = counts if isinstance(counts, dict) else {}
        listed = errors.get("data") if isinstance(errors, dict) else errors
        if not data.get("id"):
            raise BatchUnavailable("the LLM server's answer names no batch")
        return BatchState(
            id=str(data["id"]),
            status=str(data.get("status") or "").lower(),
            num_requests=_number(counted.get("total")),
            num_completed=_number(counted.get("completed")),
            num_failed=_number(counted.get("failed")),
            output_file_id=data.get("output_file_id") or None,
            error_file_id=data.get("error_file_id") or None,
            errors=tuple(map(self._said, listed if isinstance(listed, list) else ())),
        )

    def _said(self, error: Any) -> str:
        if not isinstance(error, dict):
            return self._wire.said(error)
        place = f"line {error['line']}: " if error.get("line") else ""
        return place + self._wire.said(error.get("message") or error.get("code") or "a fault without a name")

    async def _upload(self, api: "AsyncOpenAI", file: IO[bytes]) -> Any:
        file.seek(0)
        async with asyncio.timeout(TRANSFER_TIMEOUT_S):
            return await api.files.with_raw_response.create(
                file=("limbeck.jsonl", file, "application/jsonl"), purpose="batch", timeout=TRANSFER_TIMEOUT_S
            )

    async def _made_from(self, file_id: str) -> Mapping[str, Any] | None:
        """The batch that was made from this file, if there is one among the latest few thousand."""
        how: dict[str, Any] = {"limit": 100}
        for _ in range(MOST_LISTED // 100):
            listed = json_object((await self._wire.api().batches.with_raw_response.list(**how)).content)
            data = listed.get("data")
            batches = [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
            for one in batches:
                if one.get("input_file_id") == file_id:
                    return one
            if not batches or not listed.get("has_more"):
                return None
            how["after"] = str(batches[-1].get("id"))
        return None

    async def _asked(
        self,
        what: str,
        call: Callable[["AsyncOpenAI"], Awaitable[Any]],
        *,
        found: Callable[[], Awaitable[Mapping[str, Any] | None]] | None = None,
    ) -> Mapping[str, Any]:
        """The JSON that a call gives, an empty one for a call that keeps its own. A fault that will pass is waited for;
        `found` then looks whether the call was heard all the same."""
        import httpx2
        import openai

        settings = self._settings
        for attempt in range(1, settings.max_attempts + 1):
            try:
                if attempt > 1 and found is not None and (already := await found()) is not None:
                    return already
                response = await call(self._wire.api())
                return {} if response is None else json_object(response.content)
            except openai.APIStatusError as error:
                reply = self._wire.read(
                    error.response.status_code, json_object(error.response.content), error.response.headers
                )
            except (openai.APIConnectionError, httpx2.HTTPError, TimeoutError) as error:
                reply = RawResponse(status="connection", detail=f"the connection broke ({type(error).__name__})")
            if reply.http_status in (404, 405, 501) and reply.status != "llm_quota_exhausted":
                raise FatalLLMError(
                    "llm_no_batches", f"{self._settings.base_url} has no Batch API, or lost {what}: {reply.detail}"
                )
            if reply.status.startswith("llm_"):
                raise FatalLLMError(reply.status, f"the LLM server refuses {what} ({reply.detail})")
            if reply.status in ("bad_request", "refused"):
                raise FatalLLMError("llm_batch_failed", f"the LLM server refuses {what} ({reply.detail})")
            wait_s = reply.retry_after_s
            if wait_s is None:
                wait_s = random.uniform(0, min(retries.FIRST_WAIT_S * 2 ** (attempt - 1), settings.max_wait_s))
            if attempt == settings.max_attempts or wait_s > settings.max_wait_s:
                break
            await asyncio.sleep(wait_s)
        raise BatchUnavailable(f"{what}: {reply.detail}, after {attempt} attempts")


def json_object(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> int:
    return value if type(value) is int else 0
