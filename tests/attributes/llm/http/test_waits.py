"""How long a server asks to wait, in headers, fields and sentences."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from attributes.llm.http.server_errors import error_in
from attributes.llm.http.waits import stated_wait_s
from tests.attributes.llm.http.conftest import Sender

DELTA_S = 2.0


def quirk(server: str, behaviour: str) -> pytest.MarkDecorator:
    return pytest.mark.quirk(server, behaviour, "that long is waited; hours end the job with a named reason")


def iso(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def case_id(value: object) -> str | None:
    """The value as the name of a case; a function has no name that is equal in two processes."""
    return None if callable(value) else str(value)


HEADERS: list[Any] = [
    pytest.param({"Retry-After": "12"}, 12, marks=quirk("all servers", "`Retry-After` in seconds")),
    ({"Retry-After": "1.5"}, 1.5),
    ({"Retry-After": "12s"}, 12),
    ({"retry-after-ms": "1500"}, 1.5),
    ({"x-ms-retry-after-ms": "1500"}, 1.5),
    (lambda: {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)}, 60),
    pytest.param(
        {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-tokens": "1h"},
        3600,
        marks=quirk("OpenAI, Groq", "`x-ratelimit-reset-requests` such as `6m0s`"),
    ),
    (
        {
            "x-ratelimit-reset-requests": "120ms",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-tokens": "6m0s",
            "x-ratelimit-remaining-tokens": "500",
        },
        0.12,
    ),
    pytest.param(
        lambda: {"X-RateLimit-Reset": str(round((time.time() + 90) * 1000)), "X-RateLimit-Remaining": "0"},
        90,
        marks=quirk("OpenRouter", "`X-RateLimit-Reset` in milliseconds of the epoch"),
    ),
    (lambda: {"X-RateLimit-Reset": str(round(time.time() + 90))}, 90),
    pytest.param(
        lambda: {"anthropic-ratelimit-tokens-reset": iso(30), "anthropic-ratelimit-tokens-remaining": "0"},
        30,
        marks=quirk("Anthropic", "`anthropic-ratelimit-tokens-reset` as a date"),
    ),
    ({"ratelimit-reset": "7", "ratelimit-remaining": "0"}, 7),
    ({"ratelimitbysize-reset": "7", "ratelimitbysize-remaining": "0"}, 7),
    ({"RateLimit": "limit=100, remaining=0, reset=50"}, 50),
    ({"RateLimit": '"burst";r=5;t=9, "day";r=0;t=50'}, 50),
    ({"x-ratelimit-reset-requests-day": "33011.4", "x-ratelimit-remaining-requests-day": "0"}, 33011.4),
    ({"x-ratelimit-reset-requests": "7s", "x-ratelimit-remaining-requests": "3"}, None),
    ({"Retry-After": "-5"}, None),
    ({"Retry-After": "nan"}, None),
    ({"Retry-After": "soon"}, None),
    ({"Retry-After": "99999999"}, None),
    ({"x-ratelimit-reset": "-3", "x-ratelimit-remaining": "0"}, None),
    ({"x-ratelimit-reset": "20000000"}, None),
]


@pytest.mark.parametrize(("headers", "expected"), HEADERS, ids=case_id)
def test_headers_state_a_wait(
    headers: dict[str, str] | Callable[[], dict[str, str]], expected: float | None, send: Sender
) -> None:
    raw = send({"error": {"message": "slow"}}, 429, headers() if callable(headers) else headers)
    assert raw.status == "rate_limited"
    assert raw.retry_after_s == (None if expected is None else pytest.approx(expected, abs=DELTA_S))


def test_the_limits_of_a_server_matter_only_if_one_is_reached(send: Sender) -> None:
    headers = {"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}
    assert send({"error": {"message": "busy"}}, 503, headers).retry_after_s is None
    assert send({"error": {"message": "busy"}}, 503, {"Retry-After": "3"}).retry_after_s == 3


SENTENCES: list[Any] = [
    pytest.param("Please try again in 20s.", 20, marks=quirk("OpenAI", "`try again in 20s` in the message")),
    ("Limit 3, Used 3, Requested 1. Please try again in 345ms. Visit https://x", 0.345),
    ("Please try again in 1m2.5s.", 62.5),
    ("Please try again in 1h5m.", 3900),
    ("Please try again in 7m12s. Limit 200 / day", 432),
    pytest.param("Please retry after 6 seconds.", 6, marks=quirk("Azure OpenAI", "`retry after 6 seconds`")),
    ("Retry after 30", 30),
    pytest.param("Please retry in 37.04s.", 37.04, marks=quirk("Google Gemini", "`Please retry in 37.04s`")),
    ("You must wait 2 hours before the next request", 7200),
    ("wait for about 5 minutes", 300),
    ("Rate limited. Try again in 1 minute and 30 seconds", 90),
    ("Limit resets in 1 day, 2 hours", 93600),
    ("Quota will be available in 3 min", 180),
    (lambda: f"You will regain access on {datetime.now(UTC) + timedelta(hours=2):%Y-%m-%d at %H:%M} UTC.", 7200),
    (lambda: f"Your limit resets at {iso(600)}", 600),
    ("We allow 60 requests per 1 minute. Try again later.", None),
    ("Please try again in 9999999 hours", None),
    ("Try again with fewer than 100 messages", None),
    ("Limit reached for model m5 s", None),
]


@pytest.mark.parametrize(("sentence", "expected"), SENTENCES)
def test_sentences_state_a_wait(sentence: str | Callable[[], str], expected: float | None, send: Sender) -> None:
    message = sentence() if callable(sentence) else sentence
    wait_s = send({"error": {"message": message}}, 429).retry_after_s
    assert wait_s == (None if expected is None else pytest.approx(expected, abs=60 if callable(sentence) else 0.001))


FIELDS: list[Any] = [
    pytest.param(
        {"details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}]},
        12,
        marks=quirk("Google Gemini", '`retryDelay: "12s"` in the details'),
    ),
    ({"details": [{"retryDelay": {"seconds": 12, "nanos": 5}}]}, 12),
    ({"retry_after": 5}, 5),
    ({"retryAfter": "5"}, 5),
    ({"retry_after_ms": 500}, 0.5),
    ({"metadata": {"retry_after_seconds": 5}}, 5),
    ({"resets_in_seconds": 4000}, 4000),
    pytest.param(
        {"estimated_time": 20.5}, 20.5, marks=quirk("Hugging Face", "`estimated_time` until a model is loaded")
    ),
    (lambda: {"metadata": {"headers": {"X-RateLimit-Reset": str(round((time.time() + 90) * 1000))}}}, 90),
    (lambda: {"metadata": {"raw": '{"error": {"retry_after": 8}}'}}, 8),
    ({"retry_after": -5}, None),
    ({"retry_after": True}, None),
    ({"retryDelay": "soon"}, None),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS, ids=case_id)
def test_fields_state_a_wait(fields: Any, expected: float | None, send: Sender) -> None:
    body = {"error": {"message": "Resource has been exhausted"} | (fields() if callable(fields) else fields)}
    for status in (429, 503):
        wait_s = send(body, status).retry_after_s
        assert wait_s == (None if expected is None else pytest.approx(expected, abs=DELTA_S))


@pytest.mark.quirk(
    "Google Gemini", "a spent quota per day, with a `retryDelay` of seconds", "it waits until midnight there"
)
def test_a_daily_quota_of_google_waits_until_it_resets() -> None:
    violations = [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]
    details = [{"violations": violations}, {"retryDelay": "12s"}]
    wait_s = stated_wait_s(429, {}, error_in([{"error": {"message": "quota", "details": details}}]))
    assert wait_s is not None
    reset = datetime.now(UTC) + timedelta(seconds=wait_s)
    assert 0 < wait_s <= 86400
    assert (reset + timedelta(seconds=30)).hour == 8  # UTC
    assert abs(reset.minute - 30) == 30 or reset.minute in (0, 59)


def test_the_longest_sentence_is_read_in_a_moment() -> None:
    for text in ("again " + "1 " * 50_000, "retry " * 20_000, "wait " + "1m" * 30_000, "wait" + " " * 50_000 + "x"):
        started = time.monotonic()
        stated_wait_s(429, {}, error_in({"error": {"message": text}}))
        assert time.monotonic() - started < 2
