"""Probes a model at an endpoint: which response formats it understands, how fast it is, and what it costs.

    result = asyncio.run(Probe(resolved, Label("robin")).run())

Each response format gets one call with the strategy `describe`, through the same request building, transport and
parser as the calls of a job. A call is repeated, a few times in all, if the server refuses a parameter, cuts the
response off, or fails for a moment. What the probe learns is not stored.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from attributes.endpoints.endpoints import ResolvedEndpoint
from attributes.endpoints.model_list import ModelList, fetch_model_list
from attributes.endpoints.recommendation import COMPLETE, Recommendation, recommend
from attributes.llm.costs.estimates import estimate_tokens
from attributes.llm.limits import max_prompt_tokens
from attributes.llm.model_profile import FORMAT_LEVELS, FormatLevel, LearnedProfiles
from attributes.llm.requests import max_limit_of
from attributes.llm.response_format import ChatBody, sent_parameters
from attributes.llm.results import Call, FatalLLMError, QuestionResult
from attributes.llm.retry_policy import QuestionAttempts
from attributes.llm.transport import RawResponse, Transport
from attributes.parsing.responses import parse_response
from attributes.prompts.questions import Question
from attributes.prompts.strategy import DEFAULT_STRATEGY, load_strategy
from attributes.types import Label
from limbeck.shared.money import usd_from_pusd

MAX_REPEATS = 6  # calls beyond one per response format
MAX_WAIT_S = 20.0  # the longest wait that a server may ask for before a call is repeated
_REPEATED = ("bad_request", "rate_limited", "server_error", "connection")
_UNRELATED = ("rate_limited", "server_error", "connection", "timeout")  # faults that say nothing about the format
_PROBE_LIFETIME_S = 3600.0


class FormatResult(BaseModel):
    """What became of one response format.

    `is_understood`: the server accepted it, None if the last call met another fault, such as a rate limit; `fits`: the
    response fits the schema; `is_about_label`: it names the label, None if it does not fit; `is_usable`: a job could
    use it. `fault` says why not. The tokens are those of the last call; `num_calls` includes repeated ones.
    """

    model_config = ConfigDict(frozen=True)

    response_format: FormatLevel
    is_understood: bool | None
    fits: bool
    is_about_label: bool | None
    is_usable: bool
    fault: str
    num_calls: int
    latency_s: float
    prompt_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    tokens_per_s: float | None
    usd: Decimal | None


class ProbeResult(BaseModel):
    """The outcome of a probe. `fault` is why it ended early: a refused key, an unknown model, no server.

    `accepts_temperature` and `accepts_system_role` are None if no call was accepted. `omitted`: parameters that the
    server refuses. `usd` is the cost of all calls; None if a price or a number of tokens is unknown.
    """

    model_config = ConfigDict(frozen=True)

    endpoint: str
    base_url: str
    model: str
    fault: str
    formats: tuple[FormatResult, ...]
    accepts_temperature: bool | None
    accepts_system_role: bool | None
    limit_name: str | None
    omitted: tuple[str, ...]
    num_calls: int
    usd: Decimal | None
    models: ModelList
    recommendation: Recommendation | None

    @property
    def works(self) -> bool:
        """Whether at least one response format gives a usable response."""
        return any(one.is_usable for one in self.formats)


class ProbePlan(BaseModel):
    """What a probe will do: its calls, and their cost; None if the price is unknown."""

    model_config = ConfigDict(frozen=True)

    num_calls: int
    max_calls: int
    usd: Decimal | None
    max_usd: Decimal | None


class Probe:
    """One probe. `run` makes the calls; `plan` says before how many and at what cost."""

    def __init__(self, llm: ResolvedEndpoint, label: Label, domain: str = "") -> None:
        self._llm, self._settings = llm, llm.settings
        self._question = Question(load_strategy(DEFAULT_STRATEGY), label, domain)
        self._profiles = LearnedProfiles()
        self._accepted: ChatBody | None = None
        self._repeats_left = MAX_REPEATS
        self._calls: list[Call] = []

    def plan(self) -> ProbePlan:
        """The calls and their cost, expected and at most."""
        num_calls, max_calls = len(FORMAT_LEVELS), len(FORMAT_LEVELS) + MAX_REPEATS
        price = self._llm.price
        if price is None:
            return ProbePlan(num_calls=num_calls, max_calls=max_calls, usd=None, max_usd=None)
        expected = estimate_tokens(self._question.strategy, self._settings, self._question.domain)
        prompt = max(max_prompt_tokens(self._attempts(level).body()) for level in FORMAT_LEVELS)
        return ProbePlan(
            num_calls=num_calls,
            max_calls=max_calls,
            usd=usd_from_pusd(
                price.cost(
                    prompt_tokens=num_calls * expected.prompt_tokens,
                    completion_tokens=num_calls * expected.completion_tokens,
                    num_calls=num_calls,
                )
            ),
            max_usd=usd_from_pusd(
                price.max_cost(
                    prompt_tokens=max_calls * prompt,
                    completion_tokens=max_calls * max_limit_of(self._question, self._settings),
                    num_calls=max_calls,
                )
            ),
        )

    async def run(self) -> ProbeResult:
        """Make the calls. Faults of the server are in the result."""
        transport = Transport(self._settings)
        formats: list[FormatResult] = []
        fault = ""
        try:
            models = await fetch_model_list(transport, self._settings)
            for level in FORMAT_LEVELS:
                formats.append(await self._try_format(transport, level))
        except FatalLLMError as error:
            fault = error.message
        finally:
            await transport.close()
        return self._result(tuple(formats), fault, models)

    async def _try_format(self, transport: Transport, level: FormatLevel) -> FormatResult:
        """Call until the response is valid, or another call would not be of this format. Raises FatalLLMError."""
        attempts = self._attempts(level)
        try:
            return await self._call(transport, attempts)
        finally:
            self._calls += attempts.calls  # with the statuses that the parser gave them

    async def _call(self, transport: Transport, attempts: QuestionAttempts) -> FormatResult:
        response_format = attempts.body().get("response_format")
        is_understood = False
        while True:
            body = attempts.body()
            raw = await transport.send(body)
            attempts.record(raw)
            if raw.status in ("ok", "empty_answer", "invalid_answer", "refused"):
                is_understood, self._accepted = True, body
            if raw.status == "llm_unreachable":
                raise FatalLLMError(raw.status, raw.detail, attempts.calls)
            step = attempts.next_step(raw)
            if attempts.finish("").lines:
                return self._format_result(attempts, raw, is_understood=True, fault="")
            again = not isinstance(step, QuestionResult) and self._may_repeat(attempts, raw)
            if not again or attempts.body().get("response_format") != response_format:
                fault = _fault(attempts, raw, step)
                return self._format_result(attempts, raw, is_understood=is_understood, fault=fault)
            self._repeats_left -= 1
            await asyncio.sleep(_wait_s(raw))

    def _attempts(self, level: FormatLevel) -> QuestionAttempts:
        """The attempts at the question in this format, with what the probe has learned so far."""
        profile = replace(self._profiles.profile(self._settings), level=level)
        expires_at = time.time() + _PROBE_LIFETIME_S
        self._profiles.restore(self._settings.base_url, self._settings.model, profile.as_json(), expires_at)
        return QuestionAttempts(self._question, self._settings, self._profiles)

    def _may_repeat(self, attempts: QuestionAttempts, raw: RawResponse) -> bool:
        """Whether the last call says nothing about the format, so that another one is worth its cost."""
        is_cut_off = attempts.calls[-1].status == "answer_too_long"
        is_early = (raw.retry_after_s or 0.0) <= MAX_WAIT_S
        return self._repeats_left > 0 and is_early and (is_cut_off or raw.status in _REPEATED)

    def _format_result(
        self, attempts: QuestionAttempts, raw: RawResponse, *, is_understood: bool, fault: str
    ) -> FormatResult:
        call = attempts.calls[-1]
        tokens, fits = call.completion_tokens, call.status in COMPLETE
        return FormatResult(
            response_format=attempts.calls[0].level,
            is_understood=None if raw.status in _UNRELATED and not is_understood else is_understood,
            fits=fits,
            is_about_label=call.status != "wrong_label" if fits else None,
            is_usable=not fault,
            fault=fault,
            num_calls=len(attempts.calls),
            latency_s=raw.latency_s,
            prompt_tokens=call.prompt_tokens,
            completion_tokens=tokens,
            reasoning_tokens=raw.reasoning_tokens,
            tokens_per_s=tokens / raw.latency_s if tokens and raw.latency_s > 0 else None,
            usd=self._usd(attempts.calls),
        )

    def _usd(self, calls: list[Call]) -> Decimal | None:
        """The cost of calls; None if it is unknown. A call without a response costs nothing."""
        price, pusd = self._llm.price, 0
        if price is None:
            return None
        for call in calls:
            if call.prompt_tokens is None or call.completion_tokens is None:
                if call.status in ("bad_request", "rate_limited") or call.status.startswith("llm_"):
                    continue
                return None
            pusd += price.cost(
                prompt_tokens=call.prompt_tokens,
                cached_tokens=call.cached_tokens or 0,
                cache_write_tokens=call.cache_write_tokens or 0,
                completion_tokens=call.completion_tokens,
            )
        return usd_from_pusd(pusd)

    def _result(self, formats: tuple[FormatResult, ...], fault: str, models: ModelList) -> ProbeResult:
        profile = self._profiles.profile(self._settings)
        sent = None if self._accepted is None else sent_parameters(self._accepted)
        return ProbeResult(
            endpoint=self._llm.endpoint,
            base_url=self._settings.base_url,
            model=self._settings.model,
            fault=fault,
            formats=formats,
            accepts_temperature=None if sent is None else "temperature" in sent,
            accepts_system_role=None if sent is None else "system" in sent,
            limit_name=None if sent is None else profile.limit_name or None,
            omitted=profile.omitted,
            num_calls=len(self._calls),
            usd=self._usd(self._calls),
            models=models,
            recommendation=recommend(self._settings, self._calls, models),
        )


def _fault(attempts: QuestionAttempts, raw: RawResponse, step: object) -> str:
    status = attempts.calls[-1].status
    detail = (step.detail if isinstance(step, QuestionResult) else "") or raw.detail
    if not detail and raw.text:
        detail = parse_response(raw.text, attempts.question).detail
    reason = status.replace("_", " ")
    return f"{reason}: {detail}" if detail else reason


def _wait_s(raw: RawResponse) -> float:
    if raw.retry_after_s is not None:
        return min(raw.retry_after_s, MAX_WAIT_S)
    return 0.0 if raw.status in ("ok", "bad_request") else 1.0


def as_json(plan: ProbePlan, result: ProbeResult) -> Mapping[str, object]:
    """The plan and the outcome for programs."""
    return {"works": result.works, "plan": plan.model_dump(mode="json"), **result.model_dump(mode="json")}
