"""Errors of every shape: their message reaches the user, their codes count."""

import json
from typing import Any

import pytest

from attributes.llm.http.server_errors import MAX_FACTS, error_in
from tests.attributes.fake_llm import completion
from tests.attributes.llm.http.conftest import Sender

NESTED = json.dumps({"error": {"code": 429, "message": "Resource has been exhausted", "status": "RESOURCE_EXHAUSTED"}})
SHAPES: list[Any] = [
    {"error": {"message": "pinned"}},
    {"error": "pinned"},
    {"error": {"error": "pinned"}},
    {"errors": [{"message": "pinned"}]},
    {"message": "pinned", "code": 7},
    {"detail": "pinned"},
    {"detail": {"error": "pinned"}},
    {"object": "error", "message": "pinned"},
    {"type": "error", "error": {"type": "x", "message": "pinned"}},
    {"success": False, "msg": "pinned"},
    {"code": "E7", "msg": "pinned"},
    {"error_code": 336, "error_msg": "pinned"},
    {"base_resp": {"status_code": 1000, "status_msg": "pinned"}},
    {"fault": {"faultstring": "pinned", "detail": {"errorcode": "x"}}},
    {"choices": [], "error": {"message": "pinned"}},
    {"choices": None, "error": {"message": "pinned"}},
    {"title": "Oops", "detail": "pinned", "status": 500},
    {"error": True, "message": "pinned"},
    [{"error": {"message": "pinned"}}],
]


@pytest.mark.parametrize("body", SHAPES, ids=str)
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.quirk("all servers", "errors of every shape, also under status 200", "the message is in the detail")
def test_the_message_of_every_shape_is_shown(status: int, body: Any, send: Sender) -> None:
    raw = send(body, status)
    assert raw.status == ("bad_request" if status == 400 else "server_error")
    assert "pinned" in raw.detail


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {
                "message": "Provider returned error",
                "code": 429,
                "metadata": {"raw": NESTED, "provider_name": "G"},
            }
        },
        {"error": {"message": NESTED, "code": 429, "status": "Too Many Requests"}},
        {"error": {"message": f"litellm.RateLimitError: GeminiException - {NESTED}", "code": "429"}},
        {"error": f"upstream: {NESTED}"},
        {"detail": NESTED},
    ],
    ids=str,
)
@pytest.mark.quirk("OpenRouter, LiteLLM", "an error inside the text of another", "the inner one is read")
def test_an_error_inside_a_text_is_read(body: Any, send: Sender) -> None:
    raw = send(body, 200)
    assert raw.status == "rate_limited"
    assert "Resource has been exhausted" in raw.detail


@pytest.mark.parametrize(
    "extra",
    [{"error": None}, {"code": 0, "msg": "success"}, {"message": ""}, {"success": True}, {"code": 200, "msg": "ok"}],
)
def test_a_completion_with_empty_error_fields_is_a_completion(extra: dict[str, Any], send: Sender) -> None:
    assert send(completion("{}") | extra).status == "ok"


def test_a_huge_or_deep_error_is_read_up_to_a_limit() -> None:
    deep: Any = "end"
    for _ in range(1000):
        deep = {"error": deep}
    error_in(deep)
    many = error_in({"error": {"message": "first", "details": [{"message": f"m{i}"} for i in range(10_000)]}})
    assert many.message.startswith("first")
    assert len(many.facts) <= MAX_FACTS
    assert len(many.text) <= 5_000
