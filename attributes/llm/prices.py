"""What calls cost: prices per model from a file, in decimals, and exact sums in whole pico-dollars (1e-12 USD).

`prices.toml` beside this file comes with Limbeck; a file of the user's adds to it and overrides it. What is in neither
has no known price, which is something else than a price of 0.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from attributes.llm.settings import OPENAI_BASE_URL

PRICE_FILE = Path(__file__).with_name("prices.toml")
PUSD_PER_USD = 10**12
_PER_TOKEN = 10**6  # dollars per million tokens are as many millionths of a dollar a token: 1e6 pico-dollars
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class PriceError(ValueError):
    """A price file that cannot be used; the message names the file, the place and the mend."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """Pico-dollars per token. `batch` is the factor of the Batch API."""

    input: int
    cached_input: int
    output: int
    batch: Decimal = Decimal(1)

    def cost(self, *, prompt_tokens: int, cached_tokens: int = 0, completion_tokens: int, batch: bool = False) -> int:
        """Pico-dollars of a call; a fraction of one counts as a whole. `cached_tokens` are among the prompt's."""
        fresh = prompt_tokens - min(cached_tokens, prompt_tokens)
        cost = fresh * self.input + (prompt_tokens - fresh) * self.cached_input + completion_tokens * self.output
        return -int(-(cost * self.batch) // 1) if batch else cost


class Prices:
    """Prices by base URL and model."""

    def __init__(self, known: Mapping[tuple[str, str], Price]) -> None:
        self._known = dict(known)

    def of(self, model: str, base_url: str) -> Price | None:
        """The price of a model at a server, with or without the date at its name's end; None where it is not known."""
        place = (base_url or OPENAI_BASE_URL).rstrip("/")
        return self._known.get((place, model)) or self._known.get((place, _DATE.sub("", model)))

    def __or__(self, other: "Prices") -> "Prices":
        """Both, and the other's where they differ."""
        return Prices({**self._known, **other._known})


def load_prices(own: Path | None = None) -> Prices:
    """The shipped prices, with those of the user's file laid over them. Raises PriceError."""
    shipped = read_prices(PRICE_FILE)
    return shipped | read_prices(own) if own is not None else shipped


def read_prices(path: Path) -> Prices:
    """Read a price file. Raises PriceError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PriceError(f"price file {path} cannot be read: {error}") from error
    known: dict[tuple[str, str], Price] = {}
    blocks = data.get("price")
    if not isinstance(blocks, list) or set(data) != {"price"}:
        raise PriceError(f"price file {path}: must hold [[price]] blocks and nothing else")
    for number, block in enumerate(blocks, start=1):
        place = f"price file {path}: price {number}"
        if unknown := sorted(set(block) - {"base_url", "batch", "models"}):
            raise PriceError(f"{place}: {unknown[0]!r} is not a field; there are base_url, batch and models")
        base_url = block.get("base_url", OPENAI_BASE_URL)
        models = block.get("models")
        if not isinstance(base_url, str) or not isinstance(models, dict):
            raise PriceError(f"{place}: base_url must be text, and models a table of model = {{input, output}}")
        batch = _decimal(block.get("batch", "1"), f"{place}: batch")
        for model, given in models.items():
            known[base_url.rstrip("/"), model] = _price(given, batch, f"{place}: {model}")
    return Prices(known)


def usd(pusd: int) -> Decimal:
    """Pico-dollars as dollars, exactly."""
    return Decimal(pusd) / PUSD_PER_USD


def pusd(given: Decimal) -> int:
    """Dollars as pico-dollars, fractions of one left out."""
    return int(given * PUSD_PER_USD)


def usd_text(amount: int) -> str:
    """Dollars for people: cents, or as many digits as a small amount needs, never a bare zero for money spent."""
    dollars = usd(amount)
    if amount and abs(dollars) < Decimal("0.01"):
        return f"${dollars:.2g}" if dollars >= Decimal("0.0001") else f"${dollars.normalize():f}"
    return f"${dollars:,.2f}"


def _price(given: Any, batch: Decimal, place: str) -> Price:
    if not isinstance(given, dict) or not {"input", "output"} <= set(given) <= {"input", "cached_input", "output"}:
        raise PriceError(f"{place}: must give input and output, and may give cached_input")
    per_token = {name: _decimal(value, f"{place}: {name}") * _PER_TOKEN for name, value in given.items()}
    if odd := [name for name, value in per_token.items() if value != value.to_integral_value()]:
        raise PriceError(f"{place}: {odd[0]} has more than six digits after the point")
    whole = {name: int(value) for name, value in per_token.items()}
    return Price(**{"cached_input": whole["input"], **whole}, batch=batch)


def _decimal(given: Any, place: str) -> Decimal:
    try:
        value = Decimal(given) if isinstance(given, str | int) and not isinstance(given, bool) else None
    except InvalidOperation:
        value = None
    if value is None or not value.is_finite() or value < 0:
        raise PriceError(f'{place}: {given!r} must be a number of dollars in quotes, 0 or more, such as "0.15"')
    return value
