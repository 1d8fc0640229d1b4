"""The tokens of a response, as the servers' dialects state them.

The counts are of what is billed. Gemini, xAI and others bill thinking beside `completion_tokens`; it is then only in
`total_tokens`. Anthropic does not count what its prompt cache read and wrote as input; OpenAI does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_CONTAINERS = ("usage", "usageMetadata", "usage_metadata", "token_usage", "tokens")
_PROMPT = ("prompt_tokens", "promptTokenCount", "prompt_token_count", "prompt_eval_count", "tokens_evaluated")
_INPUT = ("input_tokens", "inputTokens", "inputTokenCount", "input_token_count")
_COMPLETION = (
    *("completion_tokens", "output_tokens", "outputTokens", "candidatesTokenCount", "candidates_token_count"),
    *("generated_tokens", "eval_count", "tokens_predicted", "outputTokenCount", "output_token_count"),
)
_TOTAL = ("total_tokens", "totalTokens", "totalTokenCount", "total_token_count")
_REASONING = ("reasoning_tokens", "thinking_tokens", "num_reasoning_tokens", "reasoningTokens", "thoughts_tokens")
_THOUGHTS = ("thoughtsTokenCount", "thoughts_token_count")  # never among the completion's tokens
_PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details", "prompt_cache_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details", "completion_token_details")
_CACHED = (
    *("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens", "cacheReadInputTokens"),
    *("cachedContentTokenCount", "cached_content_token_count", "cache_read_tokens"),
)
_CACHE_WRITE = (
    *("cache_write_tokens", "cache_creation_input_tokens", "cacheWriteInputTokens", "cache_creation_tokens"),
    "cacheCreationInputTokens",
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts, None where the server states none. `prompt` includes `cached` and `cache_write`, and `completion`
    includes `reasoning`."""

    prompt: int | None = None
    completion: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    cache_write: int | None = None


def usage_in(data: Mapping[str, object]) -> Usage:
    """The usage that a response states."""
    stated = _stated_usage(data)
    if stated is None:
        return Usage()
    prompt_details, completion_details = _details(stated, _PROMPT_DETAILS), _details(stated, _COMPLETION_DETAILS)
    cached = _first(stated, _CACHED) if (count := _first(prompt_details, _CACHED)) is None else count
    written = _first(stated, _CACHE_WRITE) if (count := _first(prompt_details, _CACHE_WRITE)) is None else count
    reasoning = _first(stated, _REASONING) if (count := _first(completion_details, _REASONING)) is None else count
    prompt, completion, total = _first(stated, _PROMPT), _first(stated, _COMPLETION), _first(stated, _TOTAL)
    caches = (cached or 0) + (written or 0)
    if prompt is None:
        prompt = _first(stated, _INPUT)
        excluded = prompt is not None and not prompt_details and "cached_tokens" not in stated
    else:
        excluded = prompt < caches or (caches > 0 and total == prompt + (completion or 0) + caches)
    if excluded and prompt is not None:
        prompt += caches
    if completion is not None and (thoughts := _first(stated, _THOUGHTS)):
        completion, reasoning = completion + thoughts, thoughts
    return _completed(prompt, completion, total, reasoning, cached, written)


def _completed(
    prompt: int | None,
    completion: int | None,
    total: int | None,
    reasoning: int | None,
    cached: int | None,
    written: int | None,
) -> Usage:
    """The usage with what follows from the total: a missing count, and thinking billed beside the completion."""
    if total is not None and prompt is not None:
        rest = total - prompt
        if completion is None:
            completion = rest if rest >= 0 else None
        elif rest > completion:
            completion, reasoning = rest, max(reasoning or 0, rest - completion)
    elif total is not None and completion is not None and total >= completion:
        prompt = total - completion
    if reasoning and completion is not None and reasoning > completion:
        if total is None:
            completion += reasoning
        else:  # the total leaves no room for it: counted by another tokenizer
            reasoning = completion
    return Usage(prompt, completion, reasoning, cached, written)


def _stated_usage(data: Mapping[str, object]) -> Mapping[str, object] | None:
    """The object with the counts. Groq repeats it in `x_groq`, Cohere has `billed_units`, Ollama counts at the top."""
    for name in _CONTAINERS:
        usage = data.get(name)
        if isinstance(usage, dict) and usage:
            billed = usage.get("billed_units")
            return billed if isinstance(billed, dict) else usage
    for name in ("x_groq", "meta"):
        inner = data.get(name)
        if isinstance(inner, dict):
            usage = inner.get("usage", inner.get("billed_units"))
            if isinstance(usage, dict):
                return usage
    return data if "eval_count" in data or "tokens_predicted" in data else None


def _details(usage: Mapping[str, object], names: tuple[str, ...]) -> Mapping[str, object]:
    for name in names:
        details = usage.get(name)
        if isinstance(details, dict) and details:
            return details
    return {}


def _first(usage: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in usage and (count := _count(usage[name])) is not None:
            return count
    return None


def _count(value: object) -> int | None:
    """A count of tokens, also from a float or a text; None for anything else."""
    if type(value) is int:
        return value if 0 <= value < 2**31 else None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    return int(value) if isinstance(value, float) and 0 <= value < 2**31 and value == int(value) else None
