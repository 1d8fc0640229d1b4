"""Cost of LLM calls, exact, in pico-dollars (`limbeck.shared.money`).

Prices come from the package genai-prices, which holds the price lists of many providers and is read from the package,
never from the network. A file of the user (LIMBECK_PRICES) adds to them and overrides them. Both apply only at the base
URL of the provider. A model without a price has an unknown price, which is not the same as a price of 0.

A price file:

    [[price]]
    base_url = "http://127.0.0.1:8080/v1"  # OpenAI if left out
    batch = "0.5"                          # price factor of the Batch API, "1" if left out
    [price.models]                         # dollars per million tokens, as text so that they are exact
    "my-model" = { input = "0.15", cached_input = "0.075", output = "0.60" }

A model of the file applies with and without a date at the end of its name (`gpt-4o-mini-2024-07-18`).
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attributes.llm.settings import OPENAI_BASE_URL

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

_PUSD_PER_TOKEN = 10**6  # 1 dollar per million tokens is 1e6 pico-dollars per token
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
# An Azure deployment has any name and a price of its region and kind, so the list price of a model can be wrong.
_UNKNOWN_PROVIDERS = {"azure"}
# Units of some chat models that no response of the API counts, or not as we count tokens.
_UNCOUNTED = ("requests_kcount", "output_reasoning_mtok", "output_citation_mtok", "input_image_mtok")


class PriceError(ValueError):
    """A price file is invalid; the message names the file, the place and the fix."""


@dataclass(frozen=True, kw_only=True)
class TokenPrices:
    """Pico-dollars per token. `cache_write`: of a prompt token that the server puts into its cache."""

    input: Decimal
    cached_input: Decimal
    cache_write: Decimal
    output: Decimal

    def __mul__(self, factor: Decimal) -> "TokenPrices":
        return TokenPrices(
            input=self.input * factor,
            cached_input=self.cached_input * factor,
            cache_write=self.cache_write * factor,
            output=self.output * factor,
        )


# (start, prices), by start: the prices of a call whose prompt has more than `start` tokens. The first start is -1.
Tiers = tuple[tuple[int, TokenPrices], ...]


@dataclass(frozen=True, kw_only=True)
class Price:
    """The price of a model, for live calls and in the Batch API."""

    live: Tiers
    batch: Tiers

    def cost(
        self,
        *,
        prompt_tokens: int,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        completion_tokens: int,
        batch: bool = False,
        num_calls: int = 1,
    ) -> int:
        """The cost in pico-dollars, rounded up, of a call or of `num_calls` equal calls whose tokens are given in sum.

        `cached_tokens` and `cache_write_tokens` are parts of `prompt_tokens`.
        """
        tiers = self.batch if batch else self.live
        prices = next(prices for start, prices in reversed(tiers) if prompt_tokens > start * max(1, num_calls))
        cached = min(cached_tokens, prompt_tokens)
        written = min(cache_write_tokens, prompt_tokens - cached)
        cost = (
            (prompt_tokens - cached - written) * prices.input
            + cached * prices.cached_input
            + written * prices.cache_write
            + completion_tokens * prices.output
        )
        return int(cost.to_integral_value(ROUND_CEILING))

    def max_cost(self, *, prompt_tokens: int, completion_tokens: int, batch: bool = False, num_calls: int = 1) -> int:
        """As `cost`, if the server puts the whole prompt into its cache and that costs more."""
        return max(
            self.cost(
                prompt_tokens=prompt_tokens,
                cache_write_tokens=written,
                completion_tokens=completion_tokens,
                batch=batch,
                num_calls=num_calls,
            )
            for written in (0, prompt_tokens)
        )


class Prices:
    """Prices by base URL and model: those of the user first, then those of genai-prices."""

    def __init__(self, prices: Mapping[tuple[str, str], Price]) -> None:
        self._prices = dict(prices)

    @property
    def of_user(self) -> Mapping[tuple[str, str], Price]:
        """The user's prices by (base URL, model)."""
        return self._prices

    def find(self, model: str, base_url: str) -> Price | None:
        """The current price of a model at a server; None if it is unknown."""
        base_url = (base_url or OPENAI_BASE_URL).rstrip("/")
        return (
            self._prices.get((base_url, model))
            or self._prices.get((base_url, _DATE.sub("", model)))
            or _listed_price(model, base_url, datetime.now(UTC))
        )


def load_prices(user_file: Path | None = None) -> Prices:
    """The prices of genai-prices, overridden by those of the user's file. Raises PriceError."""
    return Prices({} if user_file is None else read_prices(user_file))


def read_prices(path: Path) -> dict[tuple[str, str], Price]:
    """The prices of a file by (base URL, model). Raises PriceError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PriceError(f"price file {path} cannot be read: {error}") from error
    prices: dict[tuple[str, str], Price] = {}
    blocks = data.get("price")
    if not isinstance(blocks, list) or set(data) != {"price"}:
        raise PriceError(f"price file {path}: must hold [[price]] blocks and nothing else")
    for number, block in enumerate(blocks, start=1):
        place = f"price file {path}: price {number}"
        if unknown := sorted(set(block) - {"base_url", "batch", "models"}):
            raise PriceError(f"{place}: {unknown[0]!r} is not a field; the fields are base_url, batch and models")
        base_url = block.get("base_url", OPENAI_BASE_URL)
        models = block.get("models")
        if not isinstance(base_url, str) or not isinstance(models, dict):
            raise PriceError(f"{place}: base_url must be text, and models a table of model = {{input, output}}")
        for model, price in parse_model_prices(models, block.get("batch", "1"), place).items():
            prices[base_url.rstrip("/"), model] = price
    return prices


def parse_model_prices(models: Mapping[str, object], batch: object, place: str) -> dict[str, Price]:
    """The prices of a table of model → prices; `batch` is the price factor of the Batch API. Raises PriceError."""
    factor = _parse_decimal(batch, f"{place}: batch")
    return {model: _parse_price(fields, factor, f"{place}: {model}") for model, fields in models.items()}


def _parse_price(fields: object, batch: Decimal, place: str) -> Price:
    if not isinstance(fields, dict) or not {"input", "output"} <= set(fields) <= {"input", "cached_input", "output"}:
        raise PriceError(f"{place}: must give input and output, and may give cached_input")
    per_token = {name: _parse_decimal(value, f"{place}: {name}") * _PUSD_PER_TOKEN for name, value in fields.items()}
    if too_precise := [name for name, value in per_token.items() if value != value.to_integral_value()]:
        raise PriceError(f"{place}: {too_precise[0]} has more than six digits after the point")
    prices = TokenPrices(**{"cached_input": per_token["input"], "cache_write": per_token["input"], **per_token})
    return Price(live=((-1, prices),), batch=((-1, prices * batch),))


def _parse_decimal(text: object, place: str) -> Decimal:
    try:
        value = Decimal(text) if isinstance(text, str | int) and not isinstance(text, bool) else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or value < 0:
        raise PriceError(f'{place}: {text!r} must be a number of dollars in quotes, 0 or more, such as "0.15"')
    return value


def _listed_price(model: str, base_url: str, at: datetime) -> Price | None:
    """The price in genai-prices; None if it has none for this model at this server."""
    from genai_prices.data_snapshot import get_snapshot

    provider = next((one for one in get_snapshot().providers if _is_at(one, base_url)), None)
    if provider is None or provider.id in _UNKNOWN_PROVIDERS:
        return None
    # Without `all_providers`: a price of another provider is not the price of this one.
    info = provider.find_model(model)
    live = None if info is None else _tiers_at(info, at, {})
    batch = None if info is None else _tiers_at(info, at, {"processing": "batch"})
    return None if live is None or batch is None else Price(live=live, batch=batch)


def _is_at(provider: "Provider", base_url: str) -> bool:
    """Whether a base URL is the provider's.

    The patterns of genai-prices match the start of a URL. The match must cover the host, except its top-level domain
    if the pattern ends before it, and must not lie in the path, whose dots are therefore replaced.
    """
    parts = urlsplit(base_url)
    origin = f"{parts.scheme}://{parts.netloc.lower()}"
    match = re.match(provider.api_pattern, origin + parts.path.replace(".", "_"))
    if match is None:
        return False
    rest = origin[match.end() :]
    return not rest or (match.group().endswith(".") and rest.isalpha())


def _tiers_at(info: "ModelInfo", at: datetime, context: Mapping[str, str]) -> Tiers | None:
    """The prices of a model on a day; None without a complete price. Of prices that depend on the time of day, the
    highest: a job may run at any time."""
    from genai_prices.types import ModelPrice, TimeOfDateConstraint

    times = [at]
    if not isinstance(info.prices, ModelPrice) and any(
        isinstance(one.constraint, TimeOfDateConstraint) for one in info.prices
    ):
        times = [at.replace(hour=hour, minute=45) for hour in range(24)]
    tiers = [_tiers_of(info.get_prices(time, context)) for time in times] if info.prices else [None]
    known = [one for one in tiers if one is not None]
    return max(known, key=lambda one: one[0][1].output) if len(known) == len(tiers) else None


def _tiers_of(price: "ModelPrice") -> Tiers | None:
    given = {name: value for name, value in vars(price).items() if value is not None}
    if not {"input_mtok", "output_mtok"} <= set(given) or any(name in given for name in _UNCOUNTED):
        return None
    tiers = {-1, *(tier.start for value in given.values() for tier in getattr(value, "tiers", ()))}

    def at(start: int, name: str, default: str) -> Decimal:
        value = given.get(name, given[default])
        if isinstance(value, Decimal):
            return value * _PUSD_PER_TOKEN
        reached = [tier.price for tier in value.tiers if tier.start <= start]
        return Decimal(reached[-1] if reached else value.base) * _PUSD_PER_TOKEN

    return tuple(
        (
            start,
            TokenPrices(
                input=at(start, "input_mtok", "input_mtok"),
                cached_input=at(start, "cache_read_mtok", "input_mtok"),
                cache_write=at(start, "cache_write_mtok", "input_mtok"),
                output=at(start, "output_mtok", "output_mtok"),
            ),
        )
        for start in sorted(tiers)
    )
