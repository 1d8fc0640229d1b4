"""Results of LLM questions: HTTP attempts, question results, fatal errors."""

from dataclasses import dataclass, field

from attributes.llm.requests import Message
from attributes.prompts.questions import Question
from attributes.types import Line

# Why a question can end without attributes, or why an HTTP attempt was not the last.
REASONS = {
    "refused": "the model or its content filter declined",
    "timeout": "no complete response within the time limit",
    "connection": "the connection broke",
    "rate_limited": "429 again and again, while the server accepts other questions",
    "server_error": "5xx or another server fault again and again, while the server responds to other questions",
    "bad_request": "the server refuses the request in every response format",
    "empty_answer": "a response without choices or content",
    "truncated_answer": "JSON that is incomplete or malformed",
    "invalid_answer": "a response that does not fit the schema",
    "answer_too_long": "cut off at the token limit, also at the larger one; a model that thinks needs much more",
    "degenerate_answer": "white space or a repetition without end, as some servers' constrained decoding gives",
    "wrong_label": "a response about another label",
    "batch_unfinished": "no batch processed the question, also after several batches",
    "stopped": "stopped, or the budget was spent, before a response came; the question is still open",
}
BUDGET_SPENT = "budget_spent"  # the `detail` of a question that stopped because the budget was spent


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP attempt. `status` is `ok`, a key of `REASONS`, or the code of a fatal error.

    Tokens are None if the server did not report them. `cached_tokens` are the prompt tokens from the server's prompt
    cache and `cache_write_tokens` those put into it; `prompt_tokens` includes both. `level` is the level of the
    response format; `attempt` counts from 1.
    """

    attempt: int
    status: str
    level: str
    http_status: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float
    response_text: str | None = field(repr=False)
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None  # included in `completion_tokens`


@dataclass(frozen=True, kw_only=True)
class QuestionResult:
    """The result of one question: lines, or a `reason` (a key of `REASONS`) with its `detail`; never both.

    `lines` are attributes of the question's label, `other_lines` of its other label; `flags` are those that
    `attributes.flags` found. `calls` has every HTTP attempt. For provenance, `messages` is the request as the strategy
    wrote it, with images by their digest, and `response_text` the text that the lines were parsed from; `is_repaired`:
    it was not valid as it came. A question that `stopped` has not failed: it is still open.
    """

    question: Question
    key: str
    lines: tuple[Line, ...] = ()
    other_lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()
    reason: str | None
    detail: str
    calls: list[Call]
    messages: tuple[Message, ...] = field(default=(), repr=False)
    response_text: str | None = field(default=None, repr=False)
    is_repaired: bool = False


class FatalLLMError(Exception):
    """No question can succeed until the cause is fixed, so the run stops.

    `code` is `llm_wrong_key`, `llm_unknown_model`, `llm_quota_exhausted`, `llm_unreachable` or `llm_bad_request` (every
    request is refused, and the server does not blame the model); for batches also `llm_no_batches` and
    `llm_batch_failed`. `calls` are the attempts at the current question. The message holds no secret.
    """

    def __init__(self, code: str, message: str, calls: list[Call] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.calls = calls or []
