"""Samples and helpers of the client and command tests."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from limbeck import Client
from limbeck.cli import main
from limbeck.shared.bundle.files import MANIFEST_FORMAT
from tests.limbeck.scripted import Say

Capture = pytest.CaptureFixture[str]
VOCABULARY = {
    "id": "voc_1",
    "name": "birds",
    "domain": "",
    "digest": "d",
    "num_labels": 2,
    "created_at": "2026-11-23T21:04:05.678Z",
    "read_as": "plain text, one label per line",
    "notes": ["dropped 1 blank line"],
    "warnings": ["check 'Käfer'"],
}
SPEND = {
    "usd": "0.0123",
    "tokens": 2100,
    "calls": 12,
    "unpriced_calls": 0,
    "repeated_calls": 0,
    "repaired_responses": 0,
    "cap_usd": "2.50",
    "cap_tokens": None,
    "projected_usd": "0.0246",
}


def job(status: str, **more: Any) -> dict[str, Any]:
    """The JSON of a job."""
    return {
        "id": "job_1",
        "kind": "enrich",
        "status": status,
        "stage": None,
        "created_at": "2026-11-23T21:04:05.678Z",
        "started_at": None,
        "finished_at": None,
        "stages": [],
        "spec": {},
        "progress": {"done": 1, "total": 4, "unit": "labels", "eta_s": 3.0},
        "spend": None,
        "result": None,
        "error": None,
        **more,
    }


def client(url: str, slept: list[float] | None = None, **options: Any) -> Client:
    """A client that appends its pauses to `slept` instead of sleeping."""
    return Client(url, sleep=(slept if slept is not None else []).append, **options)


def failed(arguments: list[str], capsys: Capture) -> tuple[int, str]:
    """The exit code and the one line on stderr."""
    code = main(arguments)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("limbeck: ")
    return code, printed.err


def manifest_entry(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def page(*items: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    """The JSON of a page of a list."""
    ids = [str(item["id"]) for item in items]
    ends = {"first_id": ids[0], "last_id": ids[-1]} if items else {"first_id": None, "last_id": None}
    return {"object": "list", "data": list(items), "has_more": has_more, **ends}


def bundle_script(files: Iterable[str] | Mapping[str, bytes], **fields: Any) -> tuple[list[Say], dict[str, bytes]]:
    """The responses for a checkpoint and its manifest with other `fields`, and the contents of its files by name."""
    contents = dict(files) if isinstance(files, Mapping) else {name: name.encode() * 50 for name in files}
    entries = [manifest_entry(name, content) for name, content in contents.items()]
    manifest = json.dumps({"format": MANIFEST_FORMAT, "files": entries, **fields}).encode()
    checkpoint: dict[str, Any] = {
        "id": "ckp_1",
        "job_id": "job_1",
        "dataset_id": "dst_1",
        "vocabulary_id": "voc_1",
        "attribute_set_id": None,
        "text_targets_id": "txt_1",
        "teacher_id": "tch_1",
        "student": "resnet18",
        "text": "names",
        "evaluation": {},
        "digest": "d",
        "created_at": "2026-11-23T21:04:05Z",
        "files": [{**manifest_entry("manifest.json", manifest), "url": "/v1/checkpoints/ckp_1/files/manifest.json"}],
    }
    return [Say(200, checkpoint), Say(200, manifest)], contents
