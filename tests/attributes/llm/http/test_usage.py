"""Token counts in every dialect: they are what is billed."""

from typing import Any

import pytest

from tests.attributes.fake_llm import completion
from tests.attributes.llm.http.conftest import Sender

Counts = tuple[int | None, int | None, int | None, int | None, int | None]
LARGER = "spend, cap and ledger use the larger figure"


def quirk(server: str, behaviour: str, handling: str = "the counts are read") -> pytest.MarkDecorator:
    return pytest.mark.quirk(server, behaviour, handling)


# usage -> prompt, completion, reasoning, cached, cache write
CASES: list[Any] = [
    pytest.param(
        {"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 2740},
        (100, 2640, 2600, None, None),
        marks=quirk("Google Gemini", "`total_tokens` above the sum: thinking is billed separately", LARGER),
    ),
    pytest.param(
        {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "total_tokens": 640,
            "completion_tokens_details": {"reasoning_tokens": 500},
        },
        (100, 540, 500, None, None),
        marks=quirk("xAI", "reasoning tokens that `completion_tokens` does not include", LARGER),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 500}},
        (9, 540, 500, None, None),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 600, "completion_tokens_details": {"reasoning_tokens": 500}},
        (9, 600, 500, None, None),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 60, "total_tokens": 69, "reasoning_tokens": 61},
        (9, 60, 60, None, None),
    ),
    pytest.param(
        {"input_tokens": 10, "output_tokens": 40, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 30},
        (240, 40, None, 200, 30),
        marks=quirk("Anthropic", "`input_tokens` without the tokens of its prompt cache", "they are added"),
    ),
    pytest.param(
        {"prompt_tokens": 240, "completion_tokens": 40, "total_tokens": 280, "cache_read_input_tokens": 200},
        (240, 40, None, 200, None),
        marks=quirk("LiteLLM", "Anthropic's cache counts beside prompt tokens that include them", "they count once"),
    ),
    (
        {"prompt_tokens": 10, "completion_tokens": 40, "total_tokens": 250, "cache_read_input_tokens": 200},
        (210, 40, None, 200, None),
    ),
    (
        {"input_tokens": 210, "output_tokens": 40, "input_tokens_details": {"cached_tokens": 200}},
        (210, 40, None, 200, None),
    ),
    pytest.param(
        {"prompt_tokens": 210, "completion_tokens": 4, "prompt_cache_hit_tokens": 200, "prompt_cache_miss_tokens": 10},
        (210, 4, None, 200, None),
        marks=quirk("DeepSeek", "`prompt_cache_hit_tokens`"),
    ),
    ({"prompt_tokens": "100", "completion_tokens": "40.0", "total_tokens": 140.0}, (100, 40, None, None, None)),
    ({"prompt_tokens": 100, "total_tokens": 140}, (100, 40, None, None, None)),
    ({"completion_tokens": 40, "total_tokens": 140}, (100, 40, None, None, None)),
    ({"prompt_tokens": 100, "completion_tokens": 40, "total_tokens": 90}, (100, 40, None, None, None)),
    ({"prompt_tokens": -1, "completion_tokens": True}, (None, None, None, None, None)),
    ({"prompt_tokens": float("nan"), "completion_tokens": 2**40}, (None, None, None, None, None)),
    ({"prompt_tokens": [1], "completion_tokens": "many"}, (None, None, None, None, None)),
    ({"inputTokens": 7, "outputTokens": 5, "totalTokens": 12}, (7, 5, None, None, None)),
    ("12 tokens", (None, None, None, None, None)),
]


@pytest.mark.parametrize(("usage", "expected"), CASES)
def test_usage_is_read_in_every_dialect(usage: Any, expected: Counts, send: Sender) -> None:
    raw = send(completion("{}") | {"usage": usage})
    assert raw.status == "ok"
    assert (
        raw.prompt_tokens,
        raw.completion_tokens,
        raw.reasoning_tokens,
        raw.cached_tokens,
        raw.cache_write_tokens,
    ) == expected


@pytest.mark.parametrize(
    ("fields", "prompt", "completed"),
    [
        pytest.param(
            {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 30}},
            9,
            34,
            marks=quirk("Google Gemini", "`usageMetadata` with thoughts beside the candidates"),
        ),
        pytest.param({"prompt_eval_count": 9, "eval_count": 34}, 9, 34, marks=quirk("Ollama", "`eval_count`")),
        pytest.param(
            {"x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 34}}},
            9,
            34,
            marks=quirk("Groq", "usage in `x_groq` only"),
        ),
        pytest.param(
            {"usage": {"billed_units": {"input_tokens": 9, "output_tokens": 34}, "tokens": {"input_tokens": 900}}},
            9,
            34,
            marks=quirk("Cohere", "`billed_units`"),
        ),
    ],
)
def test_usage_is_found_wherever_it_is(fields: dict[str, Any], prompt: int, completed: int, send: Sender) -> None:
    body = completion("{}")
    del body["usage"]
    raw = send(body | fields)
    assert (raw.prompt_tokens, raw.completion_tokens) == (prompt, completed)


def test_the_usage_of_an_error_counts(send: Sender) -> None:
    raw = send({"error": {"code": 502, "message": "broke"}, "usage": {"prompt_tokens": 9, "completion_tokens": 34}})
    assert (raw.status, raw.prompt_tokens, raw.completion_tokens) == ("server_error", 9, 34)
