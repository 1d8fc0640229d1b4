"""The response of one HTTP attempt, and what is known about its request."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RawResponse:
    """The response of one HTTP attempt. `status` is `ok` (`text` can be parsed) or as in `attributes.llm.results.Call`.

    `cut_off`: the response reached its token limit. `completion_tokens` are all tokens that are billed for the
    response, with the `reasoning_tokens` among them. `is_moderated`: a refusal names the content of the question as its
    reason. `param` is the refused parameter that the server named.
    `retry_after_s`: how long the server asks to wait, from whatever place it says so.
    """

    status: str
    latency_s: float = 0.0
    http_status: int | None = None
    text: str | None = None
    cut_off: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    retry_after_s: float | None = None
    is_moderated: bool = False
    param: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """What the meaning of a response depends on.

    `parameters`: the names in the request's body, with `system` for a system message. `has_succeeded`: whether a
    request with this key has succeeded before. `printable` makes a server's text safe to show.
    """

    base_url: str
    printable: Callable[[object], str]
    parameters: frozenset[str] = frozenset()
    token_limit: int | None = None
    has_succeeded: bool = False
