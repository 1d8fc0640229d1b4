"""The retry policy of one question: build the next request, and decide what follows from each response.

Transient faults: wait for a random time below an exponential bound (full jitter); a server that is away for all
questions, or that asks to wait, does not count (`attributes.llm.health`). Unusable response: retry with a correction in
this project's own words. Parameter refused: leave it out. Response format not understood: fall back to the next level.
Cut off: a larger limit, also for a model that thinks. Faults that waiting cannot fix: raise FatalLLMError. This module
sends nothing; `attributes.llm.client` and `attributes.llm.batches.batch_jobs` do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypedDict

from attributes.llm.http.error_wording import TOO_LONG
from attributes.llm.limits import max_prompt_tokens
from attributes.llm.model_profile import FORMAT_LEVELS, LearnedProfiles, ModelProfile, profile_from_json
from attributes.llm.refused_parameters import largest_limit, refused_parameter
from attributes.llm.requests import (
    MAX_CORRECTION_CHARS,
    TOKEN_LIMIT_FACTOR,
    build_request,
    cache_key_of,
    max_limit_of,
    max_tokens_of,
    temperature_of,
)
from attributes.llm.response_format import ChatBody, build_body, sent_parameters, token_limit
from attributes.llm.results import Call, FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse
from attributes.parsing.responses import ParsedResponse, parse_response
from attributes.prompts.questions import Question
from limbeck.shared.retry import backoff_s
from limbeck.shared.text import clean

FIRST_WAIT_S = 1.0  # bound of the first random wait; the bound doubles with every further wait
MAX_LIMITED_PER_ATTEMPT = 4  # a question may meet this many rate limits per attempt before it fails with `rate_limited`
MAX_EXCUSED_PER_ATTEMPT = 3  # this many faults per attempt are excused while the server fails other questions too
MIN_CHARS_PER_TOKEN = 0.25  # of a response that is text
MAX_PROFILE_CHANGES = 12  # levels and refused parameters of one question
MIN_CHARS_PER_ANSWER_TOKEN = 3.0  # of JSON in English; fewer in other scripts
MAX_IMPROVEMENTS = 1  # retries of a valid response that has flags

_FAULTS = frozenset({"server_error", "connection", "timeout", "rate_limited", "bad_request"})
_FATAL_MESSAGES = {
    "llm_wrong_key": "the LLM server refuses the key (check LIMBECK_LLM_API_KEY, or the key of the job's endpoint)",
    "llm_unknown_model": "the LLM server knows no such model, or nothing at this base URL",
    "llm_quota_exhausted": "the account at the LLM server has no quota or credit left",
}


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry after `wait_s`, and as soon as the server may be called again."""

    wait_s: float = 0.0


class AttemptsJSON(TypedDict):
    """What `QuestionAttempts.to_json` returns. The keys are a stored format."""

    profile: Mapping[str, object]
    calls: int
    attempts: int
    reasks: int
    max_tokens: int
    correction: str
    best: str | None


class QuestionAttempts:
    """The attempts at one question so far, and the best response among them."""

    def __init__(self, question: Question, settings: LLMSettings, profiles: LearnedProfiles) -> None:
        self.question = question
        self.key = cache_key_of(question, settings)
        self.calls: list[Call] = []
        self._settings, self._profiles = settings, profiles
        self._request = build_request(question)
        self._profile: ModelProfile = profiles.profile(settings)
        self._base_limit = max_tokens_of(question, settings)
        self._max_limit = max_limit_of(question, settings)
        self.max_tokens = self._base_limit + self._profile.allowance(self._max_limit - self._base_limit)
        self._num_restored_calls = 0
        self._num_attempts = 0  # those that count towards `max_attempts`
        self._num_limited = 0  # rate limits
        self._num_excused = 0  # faults of an unreliable server
        self._num_changes = 0  # of the profile
        self._num_trials = 0  # of other profiles during an outage
        self._last_fault = ""  # the status with which the question fails when it comes again
        self._num_improvements = 0
        self._correction = ""
        self._best: tuple[ParsedResponse, str] | None = None

    def body(self) -> ChatBody:
        """The body of the next HTTP request."""
        request = self._request.with_paragraph(self._correction) if self._correction else self._request
        temperature = temperature_of(self.question, self._settings)
        return build_body(request, self._profile, self._settings, temperature=temperature, max_tokens=self.max_tokens)

    def record(self, raw: RawResponse) -> Call:
        """Append an HTTP attempt to `calls`."""
        call = Call(
            attempt=self._num_restored_calls + len(self.calls) + 1,
            status=raw.status,
            level=self._profile.level,
            http_status=raw.http_status,
            prompt_tokens=raw.prompt_tokens,
            completion_tokens=raw.completion_tokens,
            reasoning_tokens=raw.reasoning_tokens,
            cached_tokens=raw.cached_tokens,
            cache_write_tokens=raw.cache_write_tokens,
            latency_s=raw.latency_s,
            response_text=raw.text,
        )
        self.calls.append(call)
        return call

    def fatal_error(self, raw: RawResponse) -> FatalLLMError | None:
        """The fault of a response that waiting cannot fix; None if it has none, or if this question has an answer."""
        if self._best is not None or raw.status not in _FATAL_MESSAGES:
            return None
        where = f"model {self._settings.model!r} at {self._settings.base_url}"
        return FatalLLMError(raw.status, f"{_FATAL_MESSAGES[raw.status]}: {where} ({raw.detail})", self.calls)

    def next_step(
        self, raw: RawResponse, *, server_is_away: bool = False, server_is_unreliable: bool = False
    ) -> QuestionResult | Retry:
        """Decide what follows from the response that was recorded last. Raises FatalLLMError.

        `server_is_away`: the fault is the server's, which answers no question at present; it does not count.
        `server_is_unreliable`: it fails other questions too, and answers them later; some of its faults do not count. A
        fault that is billed always counts.
        """
        if self._best is not None and raw.status != "ok":
            return self.finish("")  # the best response is paid for; the next question will meet the server's fault
        if raw.completion_tokens and raw.status in _FAULTS:
            self._num_attempts += 1
            if raw.status != "bad_request" or self._is_exhausted:
                return self._wait(raw)
        if server_is_away:
            self._try_another_profile(raw)
            return Retry()
        if raw.status == self._last_fault:
            return self.finish(raw.status, raw.detail)
        if raw.status.startswith("llm_"):
            return self._after_server_fault(raw)
        if raw.status == "bad_request":
            return self._after_bad_request(raw)
        if raw.status == "refused":
            return self.finish("refused", raw.detail)
        if raw.status in ("ok", "empty_answer", "invalid_answer"):
            self._num_attempts += 1
            return self._after_response(raw)
        if raw.status == "rate_limited":
            return self._after_rate_limit(raw)
        max_excused = MAX_EXCUSED_PER_ATTEMPT * self._settings.max_attempts
        if server_is_unreliable and raw.status in ("server_error", "connection") and self._num_excused < max_excused:
            self._num_excused += 1
            return Retry(backoff_s(self._num_excused, first_s=FIRST_WAIT_S, max_s=self._settings.max_wait_s))
        self._num_attempts += 1
        return self._wait(raw)

    def _try_another_profile(self, raw: RawResponse) -> None:
        """Vary the next probe of a model that has answered nothing so far: some servers answer 500, without a reason,
        to a system role or response format that they do not know."""
        if raw.http_status != 500 or self._profiles.is_proven(self._settings):
            return
        first = self._profiles.profile(self._settings)
        without_system, in_prose = replace(first, has_system_role=False), replace(first, level=FORMAT_LEVELS[-1])
        trials = (first, without_system, in_prose, replace(in_prose, has_system_role=False))
        self._num_trials += 1
        self._profile = trials[self._num_trials % len(trials)]

    def could_send(self, body: ChatBody) -> bool:
        """Whether a test with another question's request costs no more than an attempt at this one can."""
        if self._num_paid >= self._settings.max_attempts:
            return False
        fits_prompt = max_prompt_tokens(body) <= max_prompt_tokens(self.body()) + MAX_CORRECTION_CHARS
        return fits_prompt and token_limit(body, self._max_limit) <= self._max_limit

    def set_last(self, status: str) -> None:
        """Let the question fail at the next fault of this kind that is not due to an outage.

        A test was paid for: the first comes on top of the attempts, others are in place of one.
        """
        self._num_attempts = max(self._num_attempts, self._num_paid - 1)
        self._last_fault = status

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
            is_repaired=parsed.repaired,
        )

    def to_json(self) -> AttemptsJSON:
        """The state that `restore` needs to continue in another process, without the calls themselves."""
        return {
            "profile": self._profile.as_json(),
            "calls": self._num_restored_calls + len(self.calls),
            "attempts": self._num_attempts,
            "reasks": self._num_improvements,
            "max_tokens": self.max_tokens,
            "correction": self._correction,
            "best": self._best[1] if self._best else None,
        }

    def restore(self, saved: AttemptsJSON) -> None:
        """Continue from the state that `to_json` of the same question returned."""
        self._profile = profile_from_json(saved.get("profile", {})) or self._profile
        self._num_restored_calls, self.calls = saved["calls"], []
        self._num_attempts, self._num_improvements = saved["attempts"], saved["reasks"]
        self.max_tokens = saved.get("max_tokens", self.max_tokens)
        self._correction = saved["correction"]
        best = saved["best"]
        if best is not None and (parsed := parse_response(best, self.question)).fault is None:
            self._best = parsed, best

    @property
    def _max_limited(self) -> int:
        return MAX_LIMITED_PER_ATTEMPT * self._settings.max_attempts

    @property
    def _num_paid(self) -> int:
        """How many calls got a response that the server may bill, tests with other requests included."""
        return sum(call.http_status is not None and call.http_status < 300 for call in self.calls)

    @property
    def _is_exhausted(self) -> bool:
        return self._num_attempts >= self._settings.max_attempts

    def _after_server_fault(self, raw: RawResponse) -> QuestionResult | Retry:
        if raw.status == "llm_unreachable":
            self._num_attempts += 1
            if not self._is_exhausted:
                return self._wait(raw)
            raise FatalLLMError(raw.status, raw.detail, self.calls)
        error = self.fatal_error(raw)
        assert error is not None, raw.status
        raise error

    def _after_bad_request(self, raw: RawResponse) -> QuestionResult | Retry:
        """Leave out the refused parameter, else fall back to the next response format."""
        if self.max_tokens > self._base_limit and any(call.status == "answer_too_long" for call in self.calls):
            # The server accepted the request before the token limit was raised.
            return self.finish("answer_too_long", f"the larger limit of {self.max_tokens} is refused ({raw.detail})")
        self._num_changes += 1
        if (limit := largest_limit(raw.detail, self.max_tokens)) and self._num_changes <= MAX_PROFILE_CHANGES:
            self.max_tokens = limit
            return Retry()
        if TOO_LONG.search(raw.detail):  # the prompts of the other formats are longer
            return self.finish("bad_request", raw.detail)
        refused = refused_parameter(raw.param, raw.detail, sent_parameters(self.body()))
        other = self._profile.without(refused) if refused else None
        if other is not None:
            self._profiles.record_refusal(self._settings, other)
        else:
            self._profiles.record_failure(self._settings, self._profile)
            other = self._profile.lower()
        if other is None or self._num_changes > MAX_PROFILE_CHANGES:
            return self.finish("bad_request", raw.detail)
        self._profile = other
        return Retry()

    def _after_rate_limit(self, raw: RawResponse) -> QuestionResult | Retry:
        """Retry when the server may be called again; a question that only ever meets rate limits fails."""
        self._num_limited += 1
        if self._num_limited >= self._max_limited:
            return self.finish(raw.status, f"{raw.detail} ({self._num_limited} times)")
        return Retry()

    def _wait(self, raw: RawResponse) -> QuestionResult | Retry:
        """Wait for a random time below an exponential bound."""
        if self._is_exhausted:
            return self.finish(raw.status, raw.detail)
        return Retry(backoff_s(self._num_attempts, first_s=FIRST_WAIT_S, max_s=self._settings.max_wait_s))

    def _after_response(self, raw: RawResponse) -> QuestionResult | Retry:
        parsed = (
            parse_response(raw.text, self.question, cut_off=raw.cut_off)
            if raw.status == "ok"
            else ParsedResponse(fault="empty_answer" if raw.status == "empty_answer" else "invalid_answer")
        )
        if parsed.fault is None:
            return self._accept(parsed, raw)
        is_degenerate = parsed.fault == "degenerate_answer" or _has_lost_white_space(raw)
        is_cut_off = raw.cut_off and not is_degenerate
        status = "answer_too_long" if is_cut_off else "degenerate_answer" if is_degenerate else parsed.fault
        self.calls[-1] = replace(self.calls[-1], status=status)
        if is_cut_off:
            return self._after_cut_off(raw)
        if status == "wrong_label":  # the server understood the format: the response fits the schema
            self._profiles.record_success(self._settings, self._profile)
        if status == "refused" or self._best is not None or self._is_exhausted:
            return self.finish(status, parsed.detail or raw.detail)
        if status in ("invalid_answer", "empty_answer", "degenerate_answer"):
            # Typical of a server that ignores the response format, or whose constrained decoding loops.
            self._profiles.record_failure(self._settings, self._profile)
            self._profile = self._profile.lower() or self._profile
        self._correct(parsed.correction or "The last answer was empty.")
        return Retry()

    def _after_cut_off(self, raw: RawResponse) -> QuestionResult | Retry:
        """Raise the token limit: for what the model thought before its answer, else for a long answer."""
        reasoning = raw.reasoning_tokens or (self.max_tokens if _is_only_thinking(raw) else 0)
        if reasoning:
            larger = self._base_limit + TOKEN_LIMIT_FACTOR * max(reasoning, self._base_limit)
            if any(call.status == "answer_too_long" for call in self.calls[:-1]):
                larger = self._max_limit
        else:
            larger = TOKEN_LIMIT_FACTOR * self._base_limit
        larger = min(larger, self._max_limit)
        if larger <= self.max_tokens or self._is_exhausted:
            thought = f", of which the model used {reasoning} to think" if reasoning else ""
            return self.finish("answer_too_long", f"cut off at {self.max_tokens} tokens{thought}")
        self.max_tokens = larger
        return Retry()

    def _uncounted_reasoning(self, raw: RawResponse) -> int:
        """About how much a model thought whose server does not count it, if it needs a larger limit for that.

        Otherwise every question would find the limit anew, with calls that are paid for.
        """
        if self.max_tokens <= TOKEN_LIMIT_FACTOR * self._base_limit:  # not raised, or for a long answer
            return 0
        return max(0, (raw.completion_tokens or 0) - _num_answer_tokens(raw.text or ""))

    def _correct(self, correction: str) -> None:
        self._correction = clean(f"{correction} Answer in full, as asked above.", MAX_CORRECTION_CHARS)

    def _accept(self, parsed: ParsedResponse, raw: RawResponse) -> QuestionResult | Retry:
        """Keep a valid response; retry once if it has flags."""
        if self._num_trials and not self._profile.has_system_role:
            self._profiles.record_refusal(self._settings, self._profile)
        self._profiles.record_success(self._settings, self._profile)
        if reasoning := raw.reasoning_tokens or self._uncounted_reasoning(raw):
            self._profiles.record_reasoning(self._settings, reasoning)
        if self._best is None or len(parsed.flags) < len(self._best[0].flags):
            self._best = parsed, raw.text or ""
        if not parsed.correction or self._num_improvements >= MAX_IMPROVEMENTS or self._is_exhausted:
            return self.finish("")
        self._num_improvements += 1
        self._correct(parsed.correction)
        return Retry()


def _num_answer_tokens(text: str) -> int:
    """About how many tokens an answer has, without thinking between tags before it; rather too many."""
    return round(len(text.rpartition("</")[2]) / MIN_CHARS_PER_ANSWER_TOKEN)


def _has_lost_white_space(raw: RawResponse) -> bool:
    """Whether a response was cut off in white space that the server then removed: far more tokens than characters."""
    text, tokens = raw.text or "", (raw.completion_tokens or 0) - (raw.reasoning_tokens or 0)
    return raw.cut_off and text.lstrip().startswith("{") and MIN_CHARS_PER_TOKEN * tokens > len(text)


def _is_only_thinking(raw: RawResponse) -> bool:
    """Whether a response was cut off before its answer began."""
    return not (raw.text or "").strip() or "{" not in (raw.text or "")
