"""The Batch API of the stand-in LLM, in memory: files, and batches that are processed after a fixed time."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.parser import BytesParser

from examples.fieldguide.llm.types import (
    BatchJSON,
    BatchLine,
    BatchList,
    BatchRecord,
    BatchRequest,
    ChatBody,
    FileJSON,
    LineError,
)

ENDPOINT = "/v1/chat/completions"
_RUNNING = ("in_progress", "cancelling")

# Returns status and body of the response to one request body, or None if the batch expires before the request.
Responder = Callable[[ChatBody], Awaitable[tuple[int, object] | None]]


class BatchRequestError(Exception):
    """The request is invalid; `status` is the HTTP status."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class _StandInBatch:
    id: str
    input_file_id: str
    lines: list[BatchLine]
    created_at: float
    status: str = "in_progress"
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[LineError] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class StandInBatches:
    """Files and batches of one server; a batch is in progress for `duration_s`."""

    def __init__(self, respond: Responder, *, duration_s: float = 0.0) -> None:
        self.duration_s = duration_s
        self._respond = respond
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _StandInBatch] = {}

    def upload(self, content_type: str, body: bytes) -> FileJSON:
        """Store the file of a multipart form. Raises BatchRequestError."""
        form = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        parts = form.get_payload() if form.is_multipart() else []
        fields = {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
            for part in parts
            if not isinstance(part, str)
        }
        content = fields.get("file")
        if fields.get("purpose") != b"batch" or not isinstance(content, bytes):
            raise BatchRequestError(400, "The form must contain a file and purpose=batch.", "bad_file")
        file_id = self._store(content)
        return {"id": file_id, "object": "file", "bytes": len(content), "purpose": "batch", "status": "processed"}

    def content(self, file_id: str) -> bytes:
        """The content of an uploaded file or of an output file. Raises BatchRequestError."""
        if file_id not in self._files:
            raise BatchRequestError(404, f"No file {file_id}.", "not_found")
        return self._files[file_id]

    def create(self, request: BatchRequest) -> BatchJSON:
        """Create a batch of the requests in a file. An invalid file gives a failed batch. Raises BatchRequestError."""
        if request.get("endpoint") != ENDPOINT or request.get("completion_window") != "24h":
            raise BatchRequestError(400, f"endpoint must be {ENDPOINT}, completion_window 24h.", "bad_batch")
        content = self.content(str(request.get("input_file_id")))
        batch = _StandInBatch(f"batch_{len(self._batches)}", str(request["input_file_id"]), [], time.time())
        used_ids: set[str] = set()
        for number, line in enumerate(content.splitlines(), start=1):
            code = _add_request(line, batch.lines, used_ids)
            if code:
                batch.errors.append({"code": code, "line": number, "message": code.replace("_", " "), "param": None})
        if batch.errors or not batch.lines:
            batch.status = "failed"
        self._batches[batch.id] = batch
        return self._as_json(batch)

    def list_all(self) -> BatchList:
        """All batches, newest first."""
        return {"object": "list", "data": [self._as_json(batch) for batch in reversed(self._batches.values())]}

    async def get(self, batch_id: str) -> BatchJSON:
        """The batch. The first call after `duration_s` processes its requests. Raises BatchRequestError."""
        batch = self._batch(batch_id)
        if batch.status == "cancelling":
            await self._process(batch, "cancelled", max_requests=0)
        elif batch.status == "in_progress" and time.time() >= batch.created_at + self.duration_s:
            await self._process(batch, "completed")
        return self._as_json(batch)

    def cancel(self, batch_id: str) -> BatchJSON:
        """Request cancellation of a running batch and return it. Raises BatchRequestError."""
        batch = self._batch(batch_id)
        if batch.status not in _RUNNING:
            raise BatchRequestError(409, f"Batch {batch_id} is {batch.status}.", "batch_ended")
        batch.status = "cancelling"
        return self._as_json(batch)

    async def _process(self, batch: _StandInBatch, final_status: str, max_requests: int | None = None) -> None:
        batch.status = "finalizing"  # concurrent calls of `get` must not process the batch again
        output: list[BatchRecord] = []
        errors: list[BatchRecord] = []
        for line in batch.lines[:max_requests]:
            response = await self._respond(line["body"])
            await asyncio.sleep(0)
            record: BatchRecord = {
                "id": f"batch_req_{len(output) + len(errors)}",
                "custom_id": line["custom_id"],
                "response": None,
                "error": None,
            }
            if response is None:
                final_status = "expired"
                record["error"] = {"code": "batch_expired", "message": "Too late."}
                errors.append(record)
                continue
            status, body = response
            record["response"] = {"status_code": status, "body": body}
            (output if status == 200 else errors).append(record)
        for line in batch.lines[len(output) + len(errors) :]:
            error = {"code": "batch_cancelled", "message": "The batch was cancelled before."}
            errors.append({"id": "", "custom_id": line["custom_id"], "response": None, "error": error})
        batch.output_file_id = self._store(_jsonl(output)) if output else None
        batch.error_file_id = self._store(_jsonl(errors)) if errors else None
        batch.counts = {"completed": len(output), "failed": len(errors)}
        batch.status = final_status

    def _batch(self, batch_id: str) -> _StandInBatch:
        if batch_id not in self._batches:
            raise BatchRequestError(404, f"No batch {batch_id}.", "not_found")
        return self._batches[batch_id]

    def _store(self, content: bytes) -> str:
        file_id = f"file-{len(self._files)}"
        self._files[file_id] = content
        return file_id

    def _as_json(self, batch: _StandInBatch) -> BatchJSON:
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "input_file_id": batch.input_file_id,
            "created_at": int(batch.created_at),
            "status": batch.status,
            "output_file_id": batch.output_file_id,
            "error_file_id": batch.error_file_id,
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "request_counts": {"total": len(batch.lines), "completed": 0, "failed": 0, **batch.counts},
        }


def _add_request(line: bytes, lines: list[BatchLine], used_ids: set[str]) -> str:
    """Parse one line of a batch file and append it to `lines`; returns the OpenAI error code, empty if valid."""
    try:
        request = json.loads(line)
        custom_id, url = request["custom_id"], request["url"]
        request["body"]["messages"]
    except (ValueError, KeyError, TypeError):
        return "invalid_json_line"
    if url != ENDPOINT:
        return "url_mismatch"
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= 64 or custom_id in used_ids:
        return "duplicate_custom_id"
    used_ids.add(custom_id)
    lines.append(request)
    return ""


def _jsonl(lines: Sequence[BatchRecord]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
