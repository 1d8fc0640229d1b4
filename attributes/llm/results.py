"""What comes of asking an LLM: the ledger of HTTP attempts, outcomes, fatal errors."""

from dataclasses import dataclass, field
from typing import Any

from attributes.prompts.questions import Question
from attributes.types import Line

# Why a question can end without an answer, or why one HTTP attempt was not the last.
REASONS = {
    "refused": "the model or its content filter declined",
    "timeout": "no complete answer within the time allowed",
    "connection": "the connection broke",
    "rate_limited": "429, also after waiting",
    "server_error": "5xx or another fault on the server's side, also after waiting",
    "bad_request": "the server does not accept the request in any form",
    "empty_answer": "an answer without choices or content",
    "truncated_answer": "JSON that breaks off or has a fault",
    "invalid_answer": "an answer that does not fit the schema",
    "answer_too_long": "cut off at the token limit, at the larger one too",
    "wrong_label": "an answer about another label",
    "batch_unfinished": "no batch came to it before it ended, also after several",
    "stopped": "asked to stop, or the budget was spent, before an answer came; it is still to be asked",
}
BUDGET_SPENT = "budget_spent"  # the detail of a question that stopped for it


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP attempt. `status` is `ok`, or why it gave no answer: a key of `REASONS`, or a fatal error's code.

    Tokens are None where the server did not say; `cached_tokens` are those of the prompt that it had in its prompt
    cache, and are counted in `prompt_tokens`. `rung` is the form of the request; `attempt` counts from 1.
    """

    attempt: int
    status: str
    rung: str
    http_status: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float
    answer_text: str | None = field(repr=False)
    cached_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class QuestionResult:
    """How one question ended: with lines, or with a `reason` (a key of `REASONS`) and its `detail`; never with both.

    `lines` are what the answer says of the ask's label, `other_lines` of its `other`; `flags` what
    `attributes.flags` found in them. `calls` has every HTTP attempt; `messages` is the request as the strategy wrote
    it, pictures by their digest, and `answer` the text the lines were read from (provenance). A question that
    `stopped` is not failed: it has still to be asked.
    """

    ask: Question
    key: str
    lines: tuple[Line, ...] = ()
    other_lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()
    reason: str | None
    detail: str
    calls: list[Call]
    messages: tuple[Any, ...] = field(default=(), repr=False)
    answer: str | None = field(default=None, repr=False)


class FatalLLMError(Exception):
    """No question can be answered as things are: to go on would only burn through the list.

    `code` is `llm_wrong_key`, `llm_unknown_model`, `llm_quota_exhausted`, `llm_unreachable` or `llm_bad_request` (every
    request is refused, and nothing says that the model is the reason); of batches also `llm_no_batches` and
    `llm_batch_failed`. `calls` are the attempts for the question at hand. The message holds no secret.
    """

    def __init__(self, code: str, message: str, calls: list[Call] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.calls = calls or []
