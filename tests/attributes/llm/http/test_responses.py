"""Whatever a server sends, a response has a status, and its detail can be shown."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attributes.llm.http.bodies import read_body
from attributes.llm.http.raw_response import RequestContext
from attributes.llm.http.responses import read_response

NAMES = st.sampled_from(
    ["error", "message", "choices", "content", "code", "detail", "usage", "delta", "finish_reason", "type", "text"]
    + ["reasoning", "tool_calls", "function", "arguments", "metadata", "prompt_tokens", "total_tokens", "loc", "errors"]
    + ["retry_after", "prompt_tokens_details", "reasoning_details", "status", "native_finish_reason", "base_resp"]
)
LEAVES = st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=9) | NAMES
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
CONTEXT = RequestContext(base_url="http://127.0.0.1/v1", printable=lambda text: str(text)[:300], token_limit=700)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    VALUES, st.sampled_from([200, 302, 400, 403, 404, 429, 500]), st.sampled_from(["{}", "data: {}\n\n", "[{}]", "x{}"])
)
def test_every_json_has_a_meaning(value: Any, http_status: int, form: str) -> None:
    whole = {"choices": [value]} if form == "{}" and isinstance(value, dict) else value
    body = read_body(form.replace("{}", json.dumps(whole)).encode())
    raw = read_response(http_status, body, {"retry-after": "x", "x-ratelimit-reset": "y"}, CONTEXT)
    assert raw.status
    assert raw.http_status == http_status
    assert raw.text is None or isinstance(raw.text, str)
    for count in (raw.prompt_tokens, raw.completion_tokens, raw.reasoning_tokens, raw.cached_tokens):
        assert count is None or (type(count) is int and count >= 0)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([200, 500]))
def test_every_body_has_a_meaning(content: bytes, http_status: int) -> None:
    assert read_response(http_status, read_body(content), {}, CONTEXT).status
