"""A scripted Batch API on top of the scripted LLM server: file upload and download, and batches that end as planned."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any

from tests.attributes.fake_llm import FakeLLM, FakeRequest, FakeResponse, error_response

Fault = Callable[[str, str, int], FakeResponse | None]


@dataclass
class FakeBatch:
    """One batch: its final status, the polls before it ends, and the most lines it processes."""

    id: str
    input_file_id: str
    lines: list[dict[str, Any]]
    final_status: str = "completed"
    polls: int = 1
    max_processed: int | None = None
    status: str = "in_progress"
    files: dict[str, str | None] = field(default_factory=lambda: {"output_file_id": None, "error_file_id": None})
    errors: list[dict[str, Any]] = field(default_factory=list)


class FakeBatchAPI:
    """Answers each line of a batch with the LLM server's script once the batch ends.

    `plan(batch)` may change a new batch. `fault(method, path, index)` may respond in place of the request;
    `lost_response` does the same after the request was processed.
    """

    def __init__(self, llm: FakeLLM) -> None:
        self.llm = llm
        llm.batch_api = self
        self.batches: list[FakeBatch] = []
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.plan: Callable[[FakeBatch], None] = lambda batch: None
        self.fault: Fault = lambda method, path, index: None
        self.lost_response: Fault = lambda method, path, index: None

    def respond(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> FakeResponse:
        path = path.removeprefix("/v1")
        index = len(self.requests)
        self.requests.append((method, path))
        if response := self.fault(method, path, index):
            return response
        response = self._route(method, path, headers, body)
        return self.lost_response(method, path, index) or response

    def _route(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> FakeResponse:
        match (method, path.split("?")[0].strip("/").split("/")):
            case ("POST", ["files"]):
                return self._upload(headers, body)
            case ("GET", ["files", file_id, "content"]):
                return FakeResponse(body=self.files[file_id]) if file_id in self.files else error_response(404)
            case ("POST", ["batches"]):
                return self._create(json.loads(body))
            case ("GET", ["batches"]):
                listed = [_as_json(batch) for batch in reversed(self.batches)]
                return FakeResponse(body={"object": "list", "data": listed})
            case (_, ["batches", batch_id, *rest]):
                batch = next(one for one in self.batches if one.id == batch_id)
                if rest == ["cancel"]:
                    batch.final_status, batch.status = "cancelled", "cancelling"
                return self._poll(batch)
        return error_response(404)

    def _upload(self, headers: Mapping[str, str], body: bytes) -> FakeResponse:
        head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in BytesParser().parsebytes(head + body).get_payload()
        }
        assert parts["purpose"] == b"batch"
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = parts["file"]
        return FakeResponse(body={"id": file_id, "object": "file", "bytes": len(parts["file"])})

    def _create(self, params: Mapping[str, Any]) -> FakeResponse:
        assert (params["endpoint"], params["completion_window"]) == ("/v1/chat/completions", "24h")
        lines = [json.loads(line) for line in self.files[params["input_file_id"]].split(b"\n") if line]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert all(len(line["custom_id"]) <= 64 for line in lines)
        batch = FakeBatch(f"batch-{len(self.batches)}", params["input_file_id"], lines)
        self.plan(batch)
        self.batches.append(batch)
        return FakeResponse(body=_as_json(batch))

    def _poll(self, batch: FakeBatch) -> FakeResponse:
        if batch.polls > 0:
            batch.polls -= 1
        elif batch.status in ("in_progress", "cancelling"):
            batch.status = batch.final_status
            if batch.final_status != "failed":
                self._process(batch)
        return FakeResponse(body=_as_json(batch))

    def _process(self, batch: FakeBatch) -> None:
        output, faults = [], []
        code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(batch.final_status, "")
        for number, line in enumerate(batch.lines):
            result: dict[str, Any] = {"id": f"req-{number}", "custom_id": line["custom_id"]}
            if batch.max_processed is not None and number >= batch.max_processed:
                faults.append(result | {"response": None, "error": {"code": code, "message": "not executed"}})
                continue
            request = FakeRequest(line["body"], {}, 0.0)
            response = self.llm.script(request, len(self.llm.requests))
            self.llm.requests.append(request)
            result |= {"response": {"status_code": response.status, "body": response.body}, "error": None}
            (output if response.status == 200 else faults).append(result)
        for name, lines in (("output_file_id", output), ("error_file_id", faults)):
            if lines:
                batch.files[name] = f"{batch.id}-{name}"
                # The order of the lines is arbitrary; a raw U+2028 in a text does not end a line.
                text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in reversed(lines))
                self.files[f"{batch.id}-{name}"] = text.encode()


def _as_json(batch: FakeBatch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "input_file_id": batch.input_file_id,
        "completion_window": "24h",
        "created_at": 1,
        "status": batch.status,
        **batch.files,
        "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
        "request_counts": {"total": len(batch.lines), "completed": 0, "failed": 0},
    }
