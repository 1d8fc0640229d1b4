"""The retry policy of one question: build the next request, and decide what follows from each response.

Transient faults: wait for `Retry-After`, else for a random time below an exponential bound (full jitter). Unusable
response: retry with a correction in this project's own words. Response format not understood: fall back to the next
level. Faults that waiting cannot fix: raise FatalLLMError. This module sends nothing; `attributes.llm.client` and
`attributes.llm.batch_jobs` do.
"""

import random
from dataclasses import dataclass, replace
from typing import TypedDict

from attributes.llm.requests import build_request, cache_key_of, max_tokens_of, temperature_of
from attributes.llm.response_format import (
    ChatBody,
    FormatFallback,
    ResponseFormat,
    ResponseFormatJSON,
    response_format_from_json,
)
from attributes.llm.results import Call, FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse
from attributes.parsing.responses import ParsedResponse, parse_response
from attributes.prompts.questions import Question
from limbeck.shared.retry import backoff_s

FIRST_WAIT_S = 1.0  # bound of the first random wait; the bound doubles with every further wait
TOKEN_LIMIT_FACTOR = 3  # multiplies the token limit once, after a response was cut off
MAX_IMPROVEMENTS = 1  # retries of a valid response that has flags

_FATAL_MESSAGES = {
    "llm_wrong_key": "the LLM server refuses the key (check LIMBECK_LLM_API_KEY)",
    "llm_unknown_model": "the LLM server knows no such model, or nothing at this base URL",
    "llm_quota_exhausted": "the account at the LLM server has no quota or credit left",
}


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry after `wait_s`. `server_wait_s`: the server's own `Retry-After`, which applies to every question."""

    wait_s: float = 0.0
    server_wait_s: float = 0.0


class AttemptsJSON(TypedDict):
    """What `QuestionAttempts.to_json` returns. The keys are a stored format."""

    form: ResponseFormatJSON
    calls: int
    attempts: int
    reasks: int
    enlarged: bool
    correction: str
    best: str | None


class QuestionAttempts:
    """The attempts at one question so far, and the best response among them."""

    def __init__(self, question: Question, settings: LLMSettings, fallback: FormatFallback) -> None:
        self.question = question
        self.key = cache_key_of(question, settings)
        self.calls: list[Call] = []
        self.max_tokens = max_tokens_of(question, settings)
        self._settings, self._fallback = settings, fallback
        self._request = build_request(question)
        self._format: ResponseFormat = fallback.initial_format(settings)
        self._num_restored_calls = 0
        self._num_attempts = 0  # those that count towards `max_attempts`
        self._num_improvements = 0
        self._enlarged = False
        self._correction = ""
        self._best: tuple[ParsedResponse, str] | None = None

    def body(self) -> ChatBody:
        """The body of the next HTTP request."""
        request = self._request.with_paragraph(self._correction) if self._correction else self._request
        temperature = temperature_of(self.question, self._settings)
        return self._format.body(
            request, model=self._settings.model, temperature=temperature, max_tokens=self.max_tokens
        )

    def record(self, raw: RawResponse) -> Call:
        """Append an HTTP attempt to `calls`."""
        call = Call(
            attempt=self._num_restored_calls + len(self.calls) + 1,
            status=raw.status,
            level=self._format.level,
            http_status=raw.http_status,
            prompt_tokens=raw.prompt_tokens,
            completion_tokens=raw.completion_tokens,
            cached_tokens=raw.cached_tokens,
            cache_write_tokens=raw.cache_write_tokens,
            latency_s=raw.latency_s,
            response_text=raw.text,
        )
        self.calls.append(call)
        return call

    def next_step(self, raw: RawResponse) -> QuestionResult | Retry:
        """Decide what follows from the response that was recorded last. Raises FatalLLMError."""
        if self._best is not None and raw.status != "ok":
            return self.finish("")  # the best response is paid for; the next question will meet the server's fault
        if raw.status.startswith("llm_"):
            return self._after_server_fault(raw)
        if raw.status == "bad_request":
            return self._after_bad_request(raw)
        if raw.status == "refused":
            return self.finish("refused", raw.detail)
        if raw.status in ("ok", "empty_answer", "invalid_answer"):
            return self._after_response(raw)
        return self._wait(raw)

    def finish(self, reason: str, detail: str = "") -> QuestionResult:
        """The result with the best response so far, or with `reason` if no response was valid."""
        if self._best is None:
            return QuestionResult(
                question=self.question,
                key=self.key,
                reason=reason,
                detail=detail,
                calls=self.calls,
                messages=self._request.messages,
            )
        parsed, text = self._best
        lines, other_lines = (
            tuple(replace(line, call=self.key) for line in side) for side in (parsed.lines, parsed.other_lines)
        )
        return QuestionResult(
            question=self.question,
            key=self.key,
            lines=lines,
            other_lines=other_lines,
            flags=parsed.flags,
            reason=None,
            detail="",
            calls=self.calls,
            messages=self._request.messages,
            response_text=text,
        )

    def to_json(self) -> AttemptsJSON:
        """The state that `restore` needs to continue in another process, without the calls themselves."""
        return {
            "form": self._format.as_json(),
            "calls": self._num_restored_calls + len(self.calls),
            "attempts": self._num_attempts,
            "reasks": self._num_improvements,
            "enlarged": self._enlarged,
            "correction": self._correction,
            "best": self._best[1] if self._best else None,
        }

    def restore(self, saved: AttemptsJSON) -> None:
        """Continue from the state that `to_json` of the same question returned."""
        self._format = response_format_from_json(saved["form"]) or self._format
        self._num_restored_calls, self.calls = saved["calls"], []
        self._num_attempts, self._num_improvements = saved["attempts"], saved["reasks"]
        if saved["enlarged"]:
            self._enlarge()
        self._correction = saved["correction"]
        best = saved["best"]
        if best is not None and (parsed := parse_response(best, self.question)).fault is None:
            self._best = parsed, best

    def _enlarge(self) -> None:
        """Raise the token limit; used once per question."""
        self._enlarged = True
        self.max_tokens = max_tokens_of(self.question, self._settings) * TOKEN_LIMIT_FACTOR

    def _after_server_fault(self, raw: RawResponse) -> QuestionResult | Retry:
        settings = self._settings
        if raw.status == "llm_unreachable":
            if self._num_attempts + 1 < settings.max_attempts:
                return self._wait(raw)
            raise FatalLLMError(raw.status, f"{raw.detail}: is the LLM server running there?", self.calls)
        message = f"{_FATAL_MESSAGES[raw.status]}: model {settings.model!r} at {settings.base_url} ({raw.detail})"
        raise FatalLLMError(raw.status, message, self.calls)

    def _after_bad_request(self, raw: RawResponse) -> QuestionResult | Retry:
        """Drop the refused parameter, else fall back to the next response format."""
        if self._enlarged:  # the server accepted the format before the token limit was raised
            return self.finish("answer_too_long", f"the larger limit is refused ({raw.detail})")
        if other := self._format.without(raw.param, raw.detail):
            self._fallback.record_refused_param(self._settings, other)
        else:
            self._fallback.record_failure(self._settings, self._format)
            other = self._format.lower()
        if other is None:
            return self.finish("bad_request", raw.detail)
        self._format = other
        return Retry()

    def _wait(self, raw: RawResponse) -> QuestionResult | Retry:
        """Wait for `Retry-After`, else for a random time below an exponential bound."""
        self._num_attempts += 1
        if self._num_attempts >= self._settings.max_attempts:
            return self.finish(raw.status, raw.detail)
        server_wait_s, max_wait_s = raw.retry_after_s, self._settings.max_wait_s
        if server_wait_s is None:
            return Retry(backoff_s(self._num_attempts, first_s=FIRST_WAIT_S, max_s=max_wait_s))
        if server_wait_s > max_wait_s:
            return self.finish(raw.status, f"{raw.detail} (the server asks to wait {server_wait_s:.0f} s)")
        # A random extra, so that the waiting questions do not all retry at the same moment.
        return Retry(server_wait_s + random.uniform(0, 0.1 * server_wait_s), server_wait_s=server_wait_s)

    def _after_response(self, raw: RawResponse) -> QuestionResult | Retry:
        parsed = (
            parse_response(raw.text, self.question)
            if raw.status == "ok"
            else ParsedResponse(fault="empty_answer" if raw.status == "empty_answer" else "invalid_answer")
        )
        if parsed.fault is None:
            return self._accept(parsed, raw)
        status = "answer_too_long" if raw.cut_off else parsed.fault
        self.calls[-1] = replace(self.calls[-1], status=status)
        if raw.cut_off:
            return self._after_cut_off()
        if status == "wrong_label":  # the server understood the format: the response fits the schema
            self._fallback.record_success(self._settings, self._format)
        if status == "refused" or self._best is not None:
            return self.finish(status, parsed.detail)
        self._num_attempts += 1
        if self._num_attempts >= self._settings.max_attempts:
            return self.finish(status, parsed.detail or raw.detail)
        if status in ("invalid_answer", "empty_answer"):  # typical of a server that ignores the response format
            self._fallback.record_failure(self._settings, self._format)
            self._format = self._format.lower() or self._format
        self._correct(parsed.correction or "The last answer was empty.")
        return Retry()

    def _after_cut_off(self) -> QuestionResult | Retry:
        if self._enlarged:
            return self.finish("answer_too_long", f"cut off at {self.max_tokens} tokens")
        self._enlarge()
        return Retry()

    def _correct(self, correction: str) -> None:
        self._correction = f"{correction} Answer in full, as asked above."

    def _accept(self, parsed: ParsedResponse, raw: RawResponse) -> QuestionResult | Retry:
        """Keep a valid response; retry once if it has flags."""
        self._fallback.record_success(self._settings, self._format)
        if self._best is None or len(parsed.flags) < len(self._best[0].flags):
            self._best = parsed, raw.text or ""
        self._num_attempts += 1
        if (
            not parsed.correction
            or self._num_improvements >= MAX_IMPROVEMENTS
            or self._num_attempts >= self._settings.max_attempts
        ):
            return self.finish("")
        self._num_improvements += 1
        self._correct(parsed.correction)
        return Retry()
