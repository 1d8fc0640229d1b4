"""A scripted Batch API beside the scripted server: files up and down, batches that end as the test says."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any

from tests.attributes.fake_llm import FakeLLM, Say, Seen, error

Fault = Callable[[str, str, int], Say | None]


@dataclass
class Made:
    """One batch: how it ends, how often it is looked at before, and how many of its lines it comes to."""

    id: str
    input_file_id: str
    lines: list[dict[str, Any]]
    ends: str = "completed"
    polls: int = 1
    most: int | None = None
    status: str = "in_progress"
    files: dict[str, str | None] = field(default_factory=lambda: {"output_file_id": None, "error_file_id": None})
    errors: list[dict[str, Any]] = field(default_factory=list)


class FakeBatches:
    """Answers each line with the server's script, once a batch ends. `plan(made)` says how a new batch will go;
    `fault(method, path, nth)` may answer the nth request in its place; `lost` has it do the work first."""

    def __init__(self, llm: FakeLLM) -> None:
        self._llm = llm
        llm.desk = self
        self.made: list[Made] = []
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.plan: Callable[[Made], None] = lambda made: None
        self.fault: Fault = lambda method, path, nth: None
        self.lost: Fault = lambda method, path, nth: None

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Say:
        path = path.removeprefix("/v1")
        nth = len(self.asked)
        self.asked.append((method, path))
        if say := self.fault(method, path, nth):
            return say
        done = self._do(method, path, headers, body)
        return self.lost(method, path, nth) or done

    def _do(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Say:
        match (method, path.split("?")[0].strip("/").split("/")):
            case ("POST", ["files"]):
                return self._upload(headers, body)
            case ("GET", ["files", file_id, "content"]):
                return Say(body=self.files[file_id]) if file_id in self.files else error(404)
            case ("POST", ["batches"]):
                return self._make(json.loads(body))
            case ("GET", ["batches"]):
                return Say(body={"object": "list", "data": [self._shown(one) for one in reversed(self.made)]})
            case (_, ["batches", batch_id, *rest]):
                made = next(one for one in self.made if one.id == batch_id)
                if rest == ["cancel"]:
                    made.ends, made.status = "cancelled", "cancelling"
                return self._looked_at(made)
        return error(404)

    def _upload(self, headers: Mapping[str, str], body: bytes) -> Say:
        head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in BytesParser().parsebytes(head + body).get_payload()
        }
        assert parts["purpose"] == b"batch"
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = parts["file"]
        return Say(body={"id": file_id, "object": "file", "bytes": len(parts["file"])})

    def _make(self, asked: Mapping[str, Any]) -> Say:
        assert (asked["endpoint"], asked["completion_window"]) == ("/v1/chat/completions", "24h")
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].split(b"\n") if line]
        assert len({line["custom_id"] for line in lines}) == len(lines)
        assert all(len(line["custom_id"]) <= 64 for line in lines)
        made = Made(f"batch-{len(self.made)}", asked["input_file_id"], lines)
        self.plan(made)
        self.made.append(made)
        return Say(body=self._shown(made))

    def _looked_at(self, made: Made) -> Say:
        if made.polls > 0:
            made.polls -= 1
        elif made.status in ("in_progress", "cancelling"):
            made.status = made.ends
            if made.ends != "failed":
                self._work(made)
        return Say(body=self._shown(made))

    def _work(self, made: Made) -> None:
        output, faults = [], []
        code = {"expired": "batch_expired", "cancelled": "batch_cancelled"}.get(made.ends, "")
        for number, line in enumerate(made.lines):
            answered: dict[str, Any] = {"id": f"req-{number}", "custom_id": line["custom_id"]}
            if made.most is not None and number >= made.most:
                faults.append(answered | {"response": None, "error": {"code": code, "message": "not executed"}})
                continue
            seen = Seen(line["body"], {}, 0.0)
            say = self._llm.script(seen, len(self._llm.seen))
            self._llm.seen.append(seen)
            answered |= {"response": {"status_code": say.status, "body": say.body}, "error": None}
            (output if say.status == 200 else faults).append(answered)
        for name, lines in (("output_file_id", output), ("error_file_id", faults)):
            if lines:
                made.files[name] = f"{made.id}-{name}"
                # Whatever order; a raw U+2028 in a text ends no line.
                text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in reversed(lines))
                self.files[f"{made.id}-{name}"] = text.encode()

    def _shown(self, made: Made) -> dict[str, Any]:
        return {
            "id": made.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "input_file_id": made.input_file_id,
            "completion_window": "24h",
            "created_at": 1,
            "status": made.status,
            **made.files,
            "errors": {"object": "list", "data": made.errors} if made.errors else None,
            "request_counts": {"total": len(made.lines), "completed": 0, "failed": 0},
        }
