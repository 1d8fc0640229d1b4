"""One question on its way: the next request, and what each reply leads to, whoever carries them to and fro.

A fault that will pass is waited for (`Retry-After`, else an exponential wait with full jitter); a useless answer is
asked for again with a correction in our own words; a form of request that the server does not understand gives way to
the next; what no waiting can mend raises FatalLLMError.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from attributes.llm.requests import key_of, max_tokens_of, request_for, temperature_of
from attributes.llm.response_format import FormatFallback, ResponseFormat, form_from_json
from attributes.llm.results import Call, FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse
from attributes.parsing.responses import ParsedResponse, parse_response
from attributes.prompts.questions import Question

FIRST_WAIT_S = 1.0  # the first wait is up to this long, each further one up to twice as long as the one before
LARGER_LIMIT = 3  # times the limit, for an answer that was cut off
MAX_REASKS = 1  # for an answer that is valid and could be better

_FATAL = {
    "llm_wrong_key": "the LLM server refuses the key (check LIMBECK_LLM_API_KEY)",
    "llm_unknown_model": "the LLM server knows no such model, or nothing at this base URL",
    "llm_quota_exhausted": "the account at the LLM server has no quota or credit left",
}


@dataclass(frozen=True, slots=True)
class Retry:
    """Ask again after `wait_s`; `everyone_s`: the server asked for so long, which holds for every question."""

    wait_s: float = 0.0
    everyone_s: float = 0.0


class QuestionAttempts:
    """What was asked so far about one question, and the best that came."""

    def __init__(self, ask: Question, settings: LLMSettings, ladder: FormatFallback) -> None:
        self.ask = ask
        self.key = key_of(ask, settings)
        self.calls: list[Call] = []
        self.max_tokens = max_tokens_of(ask, settings)
        self._settings, self._ladder = settings, ladder
        self._request = request_for(ask)
        self._form: ResponseFormat = ladder.start(settings)
        self._calls_before = 0
        self._attempts = 0  # those that count against `max_attempts`
        self._reasks = 0
        self._enlarged = False
        self._correction = ""
        self._best: tuple[ParsedResponse, str] | None = None

    def body(self) -> dict[str, Any]:
        """The body of the next HTTP request."""
        request = self._request.adding(self._correction) if self._correction else self._request
        temperature = temperature_of(self.ask, self._settings)
        return self._form.body(request, model=self._settings.model, temperature=temperature, max_tokens=self.max_tokens)

    def note(self, reply: RawResponse) -> Call:
        """Enter an attempt into the ledger."""
        call = Call(
            attempt=self._calls_before + len(self.calls) + 1,
            status=reply.status,
            rung=self._form.rung,
            http_status=reply.http_status,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            cached_tokens=reply.cached_tokens,
            latency_s=reply.latency_s,
            answer_text=reply.text,
        )
        self.calls.append(call)
        return call

    def judge(self, reply: RawResponse) -> QuestionResult | Retry:
        """What the attempt noted last leads to. Raises FatalLLMError."""
        if self._best is not None and reply.status != "ok":
            return self.end("")  # it is paid for; what is wrong with the server the next question will meet
        if reply.status.startswith("llm_"):
            return self._fatal_or_again(reply)
        if reply.status == "bad_request":
            return self._change_form(reply)
        if reply.status == "refused":
            return self.end("refused", reply.detail)
        if reply.status in ("ok", "empty_answer", "invalid_answer"):
            return self._judge_answer(reply)
        return self._wait(reply)

    def end(self, reason: str, detail: str = "") -> QuestionResult:
        """The best answer so far, else the reason."""
        if self._best is None:
            return QuestionResult(
                ask=self.ask,
                key=self.key,
                reason=reason,
                detail=detail,
                calls=self.calls,
                messages=self._request.messages,
            )
        reading, answer = self._best
        lines, other_lines = (
            tuple(replace(line, call=self.key) for line in side) for side in (reading.lines, reading.other_lines)
        )
        return QuestionResult(
            ask=self.ask,
            key=self.key,
            lines=lines,
            other_lines=other_lines,
            flags=reading.flags,
            reason=None,
            detail="",
            calls=self.calls,
            messages=self._request.messages,
            answer=answer,
        )

    def memory(self) -> dict[str, Any]:
        """What `recall` needs to go on in another process, as JSON; the ledger is not in it."""
        return {
            "form": self._form.as_json(),
            "calls": self._calls_before + len(self.calls),
            "attempts": self._attempts,
            "reasks": self._reasks,
            "enlarged": self._enlarged,
            "correction": self._correction,
            "best": self._best[1] if self._best else None,
        }

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Go on from where another `QuestionAttempts` of the same question was."""
        self._form = form_from_json(memory["form"]) or self._form
        self._calls_before, self.calls = memory["calls"], []
        self._attempts, self._reasks = memory["attempts"], memory["reasks"]
        if memory["enlarged"]:
            self._enlarge()
        self._correction = memory["correction"]
        if memory["best"] is not None and (reading := parse_response(memory["best"], self.ask)).fault is None:
            self._best = reading, memory["best"]

    def _enlarge(self) -> None:
        self._enlarged, self.max_tokens = True, max_tokens_of(self.ask, self._settings) * LARGER_LIMIT

    def _fatal_or_again(self, reply: RawResponse) -> QuestionResult | Retry:
        settings = self._settings
        if reply.status == "llm_unreachable":
            if self._attempts + 1 < settings.max_attempts:
                return self._wait(reply)
            raise FatalLLMError(reply.status, f"{reply.detail}: is the LLM server running there?", self.calls)
        said = f"{_FATAL[reply.status]}: model {settings.model!r} at {settings.base_url} ({reply.detail})"
        raise FatalLLMError(reply.status, said, self.calls)

    def _change_form(self, reply: RawResponse) -> QuestionResult | Retry:
        if self._enlarged:  # the form was fine before the limit was
            return self.end("answer_too_long", f"the larger limit is refused ({reply.detail})")
        if other := self._form.without(reply.param, reply.detail):
            self._ladder.refused_param(self._settings, other)
        else:
            self._ladder.missed(self._settings, self._form)
            other = self._form.lower()
        if other is None:
            return self.end("bad_request", reply.detail)
        self._form = other
        return Retry()

    def _wait(self, reply: RawResponse) -> QuestionResult | Retry:
        """The wait that the server asks for, else a random one up to an exponential bound."""
        self._attempts += 1
        if self._attempts >= self._settings.max_attempts:
            return self.end(reply.status, reply.detail)
        asked_s, max_wait_s = reply.retry_after_s, self._settings.max_wait_s
        if asked_s is None:
            return Retry(random.uniform(0, min(FIRST_WAIT_S * 2 ** (self._attempts - 1), max_wait_s)))
        if asked_s > max_wait_s:
            return self.end(reply.status, f"{reply.detail} (the server asks to wait {asked_s:.0f} s)")
        # Beyond what was asked, so that not all come back in the same moment.
        return Retry(asked_s + random.uniform(0, 0.1 * asked_s), everyone_s=asked_s)

    def _judge_answer(self, reply: RawResponse) -> QuestionResult | Retry:
        reading = (
            parse_response(reply.text, self.ask)
            if reply.status == "ok"
            else ParsedResponse(fault="empty_answer" if reply.status == "empty_answer" else "invalid_answer")
        )
        if reading.fault is None:
            return self._take(reading, reply)
        status = "answer_too_long" if reply.cut_off else reading.fault
        self.calls[-1] = replace(self.calls[-1], status=status)
        if reply.cut_off:
            if self._enlarged:
                return self.end("answer_too_long", f"cut off at {self.max_tokens} tokens")
            self._enlarge()
            return Retry()
        if status == "wrong_label":  # the form was understood: the answer fits the schema
            self._ladder.worked(self._settings, self._form)
        if status == "refused" or self._best is not None:
            return self.end(status, reading.detail)
        self._attempts += 1
        if self._attempts >= self._settings.max_attempts:
            return self.end(status, reading.detail or reply.detail)
        if status in ("invalid_answer", "empty_answer"):  # what a server gives that cannot do what was asked
            self._ladder.missed(self._settings, self._form)
            self._form = self._form.lower() or self._form
        self._correction = f"{reading.correction or 'The last answer was empty.'} Answer in full, as asked above."
        return Retry()

    def _take(self, reading: ParsedResponse, reply: RawResponse) -> QuestionResult | Retry:
        """Keep a valid answer; ask once more where it could be better."""
        self._ladder.worked(self._settings, self._form)
        if self._best is None or len(reading.flags) < len(self._best[0].flags):
            self._best = reading, reply.text or ""
        self._attempts += 1
        if not reading.correction or self._reasks >= MAX_REASKS or self._attempts >= self._settings.max_attempts:
            return self.end("")
        self._reasks += 1
        self._correction = f"{reading.correction} Answer in full, as asked above."
        return Retry()
