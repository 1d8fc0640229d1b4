"""One LLM server and model, shared by the clients of a process: connections, slots, and what it does with calls.

`LLMServer` decides when a call may be sent (`attributes.llm.health`, `attributes.llm.slots`), and ends a run whose
calls are useless: a model whose answers are never usable, or a server that refuses one question after the other.
"""

import time
from collections import Counter

from attributes.llm.health import ServerHealth
from attributes.llm.response_format import ChatBody
from attributes.llm.results import FatalLLMError, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.llm.slots import AdaptiveConcurrency, PrioritySlots
from attributes.llm.transport import RawResponse, Transport

MAX_UNUSABLE_AT_FIRST = 12  # questions in a row without a usable answer, before there was any
MAX_UNUSABLE = 60  # the same, later
MAX_FORBIDDEN = 5  # 403 in a row without a response to another question: it is the key
MAX_REFUSED = 3  # questions in a row that are refused in every response format, before there was a usable answer
ANSWERED = frozenset({"ok", "empty_answer", "invalid_answer"})  # statuses of responses to a question
UNUSABLE = frozenset(
    {"empty_answer", "truncated_answer", "invalid_answer", "answer_too_long", "wrong_label", "degenerate_answer"}
)


class LLMServer:
    """Connections, slots and health of one server and model; needs `close`. For one event loop at a time.

    `outage_limit_s`: how long an outage may last before a call raises ServerUnavailable; the settings' by default.
    """

    def __init__(self, settings: LLMSettings, *, outage_limit_s: float | None = None) -> None:
        self.settings = settings
        self.name = f"the LLM server at {settings.base_url}"
        self._outage_limit_s = settings.outage_limit_s if outage_limit_s is None else outage_limit_s
        self.transport = Transport(settings)
        self._concurrency = AdaptiveConcurrency(settings.concurrency, settings.timeout_s)
        self.health = ServerHealth(self.name, self._outage_limit_s)
        self.begin()
        self.good_request: ChatBody | None = None  # the last request that got a response
        self._has_usable_answer = False
        self._num_forbidden = self._num_refused = 0

    def begin(self) -> None:
        """Start anew in a new event loop. What the server answered is kept; an outage continues with a probe."""
        self._concurrency.restart()  # the server may have become slower meanwhile
        self.slots = PrioritySlots(lambda: self._concurrency.limit)
        self._unusable: Counter[str] = Counter()  # by reason, since the last usable answer
        earlier, self.health = self.health, ServerHealth(self.name, self._outage_limit_s)
        self.health.expect_outage_of(earlier)

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    def record(self, raw: RawResponse, *, started_at: float, source: str) -> bool:
        """Take note of a response. Returns whether it is a fault of a server that is away. Raises FatalLLMError."""
        was_away = self.health.is_away
        is_away = self.health.record(raw, started_at=started_at, source=source)
        now = time.monotonic()
        if raw.status in ("timeout", "rate_limited"):
            self._concurrency.record_overload(started_at=started_at, now=now)
        elif raw.status in ANSWERED:
            self._concurrency.record_success(started_at=started_at, now=now)
        if was_away and not is_away:
            self._concurrency.restart()
        self._check_forbidden(raw)
        return is_away

    def record_result(self, result: QuestionResult, *, is_proven: bool) -> None:
        """Take note of how a question ended. `is_proven`: the model has given a usable answer before, to any process.

        Raises FatalLLMError if more calls would be useless.
        """
        if result.reason is None:
            self._has_usable_answer = True
            self._unusable.clear()
        self._num_refused = self._num_refused + 1 if result.reason == "bad_request" else 0
        where = f"model {self.settings.model!r} at {self.settings.base_url}"
        if self._num_refused >= MAX_REFUSED and not is_proven:
            self._num_refused = 0  # the next job starts anew
            message = f"the LLM server refuses every request: {where} ({result.detail})"
            raise FatalLLMError("llm_bad_request", message, result.calls)
        if result.reason in UNUSABLE:
            self._unusable[result.reason] += 1
        limit = MAX_UNUSABLE if self._has_usable_answer else MAX_UNUSABLE_AT_FIRST
        if self._unusable.total() >= limit:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self._unusable.most_common())
            message = f"{where} gave no usable answer to {self._unusable.total()} questions in a row: {reasons}"
            raise FatalLLMError("llm_unusable", f"{message} (the last: {result.detail})", result.calls)

    def _check_forbidden(self, raw: RawResponse) -> None:
        """Raises FatalLLMError for a key that is refused for one question after the other."""
        if raw.http_status == 403 and raw.status == "refused" and not raw.is_moderated:
            self._num_forbidden += 1
        elif raw.http_status is not None:
            self._num_forbidden = 0
        if self._num_forbidden >= MAX_FORBIDDEN:
            self._num_forbidden = 0
            message = f"{self.name} answers {MAX_FORBIDDEN} questions in a row with 403: is the key still valid?"
            raise FatalLLMError("llm_wrong_key", f"{message} ({raw.detail})")
