"""Money: whole pico-dollars (pusd, 1e-12 USD) in the database, decimal dollars in the API, text for people.

Sums of pico-dollars are exact, because the price of a single token is a whole number of them.
"""

import re
from decimal import Decimal

PUSD_PER_USD = 10**12
_CENT = Decimal("0.01")
_USD = re.compile(r"\d{1,6}(\.\d{1,12})?")


def parsed_usd(text: str) -> Decimal:
    """Dollars above 0 from decimal text. Raises ValueError."""
    if not _USD.fullmatch(text) or not Decimal(text):
        raise ValueError('must be dollars above 0 as text, such as "2.50", with at most 12 digits after the point')
    return Decimal(text)


def usd_from_pusd(pusd: int) -> Decimal:
    """Pico-dollars to dollars, exact."""
    return Decimal(pusd).scaleb(-12)


def pusd_from_usd(usd: Decimal) -> int:
    """Dollars to pico-dollars, rounded towards zero."""
    return int(usd * PUSD_PER_USD)


def decimal_text(usd: Decimal) -> str:
    """Dollars as a decimal number with all digits: `0.000135`."""
    text = f"{usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd_text(usd: Decimal) -> str:
    """Dollars and cents; two significant digits below one cent, so that a cost is never shown as zero: `$0.00014`."""
    if usd and abs(usd) < _CENT:
        return f"${usd.quantize(Decimal(1).scaleb(usd.adjusted() - 1)).normalize():f}"
    return f"${usd:,.2f}"
