"""Cost of LLM calls, as far as the server reports it, and the maximum cost of a call that is not yet made."""

from attributes.llm.costs.prices import Price
from attributes.llm.results import Call
from store.enrich.usage import Cost


def cost_pusd(call: Call, price: Price | None, *, batch: bool = False) -> int | None:
    """Pico-dollars of a call; None if the price is unknown or the server reported no token counts.

    A request that the server rejected (4xx, 503) costs nothing.
    """
    if has_token_counts(call):
        if price is None:
            return None
        return price.cost(
            prompt_tokens=call.prompt_tokens or 0,
            cached_tokens=call.cached_tokens or 0,
            cache_write_tokens=call.cache_write_tokens or 0,
            completion_tokens=call.completion_tokens or 0,
            batch=batch,
        )
    return 0 if is_rejected(call) else None


def has_token_counts(call: Call) -> bool:
    """Whether the server reported the token counts of the call."""
    return call.prompt_tokens is not None and call.completion_tokens is not None


def is_rejected(call: Call) -> bool:
    """Whether the server rejected the request before it used any tokens."""
    status = call.http_status or 0
    return (400 <= status < 500 or status == 503) and not has_token_counts(call)


def cost_of_call(call: Call, price: Price | None, *, batch: bool = False) -> tuple[Cost, bool]:
    """The known cost of a call, and whether this is the whole cost: it is not if the usage is unknown."""
    known = Cost(cost_pusd(call, price, batch=batch) or 0, (call.prompt_tokens or 0) + (call.completion_tokens or 0))
    return known, has_token_counts(call) or is_rejected(call)


def max_cost(price: Price | None, prompt_tokens: int, completion_tokens: int, *, batch: bool = False) -> Cost:
    """The maximum cost of a call with these token limits. Without a price the money is 0: only tokens are capped."""
    pusd = 0
    if price is not None:
        pusd = price.max_cost(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, batch=batch)
    return Cost(pusd, prompt_tokens + completion_tokens)
