"""The stand-in LLM's Batch API, in memory: files, and batches that are worked on when their time has come."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any

ENDPOINT = "/v1/chat/completions"
_RUNNING = ("in_progress", "cancelling")

# Answers the body of one request: status and body, or None where the batch never comes to it.
Answer = Callable[[Mapping[str, Any]], Awaitable[tuple[int, Any] | None]]


class BadBatch(Exception):
    """What was asked cannot be done; `status` is the HTTP status."""

    def __init__(self, status: int, message: str, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass
class _Batch:
    id: str
    input_file_id: str
    lines: list[dict[str, Any]]
    created_at: float
    status: str = "in_progress"
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class Batches:
    """Files and batches of one server; `takes_s` is how long a batch is in progress."""

    def __init__(self, answer: Answer, *, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self._answer = answer
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, _Batch] = {}

    def upload(self, content_type: str, body: bytes) -> dict[str, Any]:
        """Keep the file of a multipart form. Raises BadBatch."""
        form = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
        parts = form.get_payload() if form.is_multipart() else []
        fields = {
            str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
            for part in parts
            if not isinstance(part, str)
        }
        content = fields.get("file")
        if fields.get("purpose") != b"batch" or not isinstance(content, bytes):
            raise BadBatch(400, "A form with a file, its purpose batch, is wanted.", "bad_file")
        file_id = self._keep(content)
        return {"id": file_id, "object": "file", "bytes": len(content), "purpose": "batch", "status": "processed"}

    def content(self, file_id: str) -> bytes:
        """A file as it was uploaded or written. Raises BadBatch."""
        if file_id not in self._files:
            raise BadBatch(404, f"No file {file_id}.", "not_found")
        return self._files[file_id]

    def make(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """A batch of the requests in a file; a file that will not do makes one that failed. Raises BadBatch."""
        if asked.get("endpoint") != ENDPOINT or asked.get("completion_window") != "24h":
            raise BadBatch(400, f"endpoint must be {ENDPOINT}, completion_window 24h.", "bad_batch")
        content = self.content(str(asked.get("input_file_id")))
        batch = _Batch(f"batch_{len(self._batches)}", str(asked["input_file_id"]), [], time.time())
        seen: set[str] = set()
        for number, line in enumerate(content.splitlines(), start=1):
            fault = _take(line, batch.lines, seen)
            if fault:
                batch.errors.append({"code": fault, "line": number, "message": fault.replace("_", " "), "param": None})
        if batch.errors or not batch.lines:
            batch.status = "failed"
        self._batches[batch.id] = batch
        return self._shown(batch)

    def listed(self) -> dict[str, Any]:
        """All batches, newest first."""
        return {"object": "list", "data": [self._shown(one) for one in reversed(self._batches.values())]}

    async def state(self, batch_id: str) -> dict[str, Any]:
        """How a batch stands; its work is done when it is asked for after its time. Raises BadBatch."""
        batch = self._batch(batch_id)
        if batch.status == "cancelling":
            await self._work(batch, "cancelled", most=0)
        elif batch.status == "in_progress" and time.time() >= batch.created_at + self.takes_s:
            await self._work(batch, "completed")
        return self._shown(batch)

    def cancel(self, batch_id: str) -> dict[str, Any]:
        """The batch, about to end. Raises BadBatch."""
        batch = self._batch(batch_id)
        if batch.status not in _RUNNING:
            raise BadBatch(409, f"Batch {batch_id} is {batch.status}.", "batch_ended")
        batch.status = "cancelling"
        return self._shown(batch)

    async def _work(self, batch: _Batch, ends: str, most: int | None = None) -> None:
        batch.status = "finalizing"  # so that whoever asks in the meantime begins no second time
        output: list[dict[str, Any]] = []
        faults: list[dict[str, Any]] = []
        for line in batch.lines[:most]:
            done = await self._answer(line["body"])
            await asyncio.sleep(0)
            base = {"id": f"batch_req_{len(output) + len(faults)}", "custom_id": line["custom_id"]}
            if done is None:
                ends = "expired"
                faults.append(base | {"response": None, "error": {"code": "batch_expired", "message": "Too late."}})
                continue
            status, body = done
            answered = base | {"response": {"status_code": status, "body": body}, "error": None}
            (output if status == 200 else faults).append(answered)
        for line in batch.lines[len(output) + len(faults) :]:
            error = {"code": "batch_cancelled", "message": "The batch was cancelled before."}
            faults.append({"id": "", "custom_id": line["custom_id"], "response": None, "error": error})
        batch.output_file_id = self._keep(_jsonl(output)) if output else None
        batch.error_file_id = self._keep(_jsonl(faults)) if faults else None
        batch.counts = {"completed": len(output), "failed": len(faults)}
        batch.status = ends

    def _batch(self, batch_id: str) -> _Batch:
        if batch_id not in self._batches:
            raise BadBatch(404, f"No batch {batch_id}.", "not_found")
        return self._batches[batch_id]

    def _keep(self, content: bytes) -> str:
        file_id = f"file-{len(self._files)}"
        self._files[file_id] = content
        return file_id

    def _shown(self, batch: _Batch) -> dict[str, Any]:
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


def _take(line: bytes, lines: list[dict[str, Any]], seen: set[str]) -> str:
    """Take in one line of a file; what is wrong with it, in OpenAI's codes."""
    try:
        asked = json.loads(line)
        name, url = asked["custom_id"], asked["url"]
        asked["body"]["messages"]
    except (ValueError, KeyError, TypeError):
        return "invalid_json_line"
    if url != ENDPOINT:
        return "url_mismatch"
    if not isinstance(name, str) or not 0 < len(name) <= 64 or name in seen:
        return "duplicate_custom_id"
    seen.add(name)
    lines.append(asked)
    return ""


def _jsonl(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
