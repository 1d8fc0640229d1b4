"""Cost of LLM calls: decimal prices per model from a file, and exact sums in whole pico-dollars (pusd, 1e-12 USD).

Limbeck ships `prices.toml` beside this file; a user's file adds to it and overrides it. A model in neither file has an
unknown price, which is not the same as a price of 0.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from attributes.llm.settings import OPENAI_BASE_URL

PRICE_FILE = Path(__file__).with_name("prices.toml")
PUSD_PER_USD = 10**12
_PUSD_PER_TOKEN = 10**6  # 1 dollar per million tokens is 1e6 pico-dollars per token
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class PriceError(ValueError):
    """A price file is invalid; the message names the file, the place and the fix."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """Pico-dollars per token. `batch` is the price factor of the Batch API."""

    input: int
    cached_input: int
    output: int
    batch: Decimal = Decimal(1)

    def cost(self, *, prompt_tokens: int, cached_tokens: int = 0, completion_tokens: int, batch: bool = False) -> int:
        """The cost of a call in pico-dollars, rounded up. `cached_tokens` are part of `prompt_tokens`."""
        uncached = prompt_tokens - min(cached_tokens, prompt_tokens)
        cost = uncached * self.input + (prompt_tokens - uncached) * self.cached_input + completion_tokens * self.output
        return -int(-(cost * self.batch) // 1) if batch else cost


class Prices:
    """Prices by base URL and model."""

    def __init__(self, prices: Mapping[tuple[str, str], Price]) -> None:
        self._prices = dict(prices)

    def find(self, model: str, base_url: str) -> Price | None:
        """The price of a model at a server, by its full name, else without the date at the end; None if unknown."""
        base_url = (base_url or OPENAI_BASE_URL).rstrip("/")
        return self._prices.get((base_url, model)) or self._prices.get((base_url, _DATE.sub("", model)))

    def __or__(self, other: "Prices") -> "Prices":
        """The union of both; for a model in both, `other` wins."""
        return Prices({**self._prices, **other._prices})


def load_prices(user_file: Path | None = None) -> Prices:
    """The shipped prices, overridden by those of the user's file. Raises PriceError."""
    shipped = read_prices(PRICE_FILE)
    return shipped | read_prices(user_file) if user_file is not None else shipped


def read_prices(path: Path) -> Prices:
    """Read a price file. Raises PriceError."""
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
        batch = _parse_decimal(block.get("batch", "1"), f"{place}: batch")
        for model, fields in models.items():
            prices[base_url.rstrip("/"), model] = _parse_price(fields, batch, f"{place}: {model}")
    return Prices(prices)


def usd_from_pusd(pusd: int) -> Decimal:
    """Pico-dollars to dollars, exact."""
    return Decimal(pusd) / PUSD_PER_USD


def pusd_from_usd(usd: Decimal) -> int:
    """Dollars to pico-dollars, rounded towards zero."""
    return int(usd * PUSD_PER_USD)


def usd_text(pusd: int) -> str:
    """Pico-dollars as text in dollars: two decimals, more for less than a cent, so that a cost never reads as zero."""
    dollars = usd_from_pusd(pusd)
    if pusd and abs(dollars) < Decimal("0.01"):
        return f"${dollars:.2g}" if dollars >= Decimal("0.0001") else f"${dollars.normalize():f}"
    return f"${dollars:,.2f}"


def _parse_price(fields: object, batch: Decimal, place: str) -> Price:
    if not isinstance(fields, dict) or not {"input", "output"} <= set(fields) <= {"input", "cached_input", "output"}:
        raise PriceError(f"{place}: must give input and output, and may give cached_input")
    per_token = {name: _parse_decimal(value, f"{place}: {name}") * _PUSD_PER_TOKEN for name, value in fields.items()}
    if too_precise := [name for name, value in per_token.items() if value != value.to_integral_value()]:
        raise PriceError(f"{place}: {too_precise[0]} has more than six digits after the point")
    whole = {name: int(value) for name, value in per_token.items()}
    return Price(**{"cached_input": whole["input"], **whole}, batch=batch)


def _parse_decimal(text: object, place: str) -> Decimal:
    try:
        value = Decimal(text) if isinstance(text, str | int) and not isinstance(text, bool) else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or value < 0:
        raise PriceError(f'{place}: {text!r} must be a number of dollars in quotes, 0 or more, such as "0.15"')
    return value
