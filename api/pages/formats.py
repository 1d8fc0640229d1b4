"""Jinja filters: times, numbers, sizes, shares, durations and money as people read them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from markupsafe import Markup, escape

from api.http.schemas import iso_utc
from limbeck.shared.money import usd_from_pusd, usd_text
from limbeck.shared.text import counted

NONE = "–"
_UNITS = ("B", "kB", "MB", "GB", "TB")


@lru_cache(maxsize=4096)  # a live page shows the same events again and again
def time_tag(seconds: float | None) -> Markup:
    """A `<time>` element with the time in UTC, which `static/page.js` changes to local time, with UTC on hover."""
    if seconds is None:
        return Markup(NONE)
    moment = datetime.fromtimestamp(seconds, UTC)
    utc = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{:%Y-%m-%d %H:%M} UTC</time>').format(iso_utc(seconds), utc, moment)


def duration(seconds: float | None) -> str:
    """`8 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def number(value: float | None) -> str:
    """Three significant digits above whole numbers: `12,345`, `0.0123`, `1.23`."""
    if value is None:
        return NONE
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def share(value: float | None) -> str:
    """A share as a percentage with one decimal place: `22.0%`."""
    return NONE if value is None else f"{value:.1%}"


def size(num_bytes: float | None) -> str:
    """`1.5 GB`; units are powers of 1,000."""
    if num_bytes is None:
        return NONE
    unit = 0
    while num_bytes >= 1000 and unit < len(_UNITS) - 1:
        num_bytes, unit = num_bytes / 1000, unit + 1
    return f"{num_bytes:.0f} B" if unit == 0 else f"{num_bytes:.1f} {_UNITS[unit]}"


def money(pusd: int | None) -> str:
    """Pico-dollars as dollars: `$0.42`."""
    return NONE if pusd is None else usd_text(usd_from_pusd(pusd))


def dollars(usd: Decimal | str | None) -> str:
    """Dollars of the API as text: `$0.42`."""
    return NONE if usd is None else usd_text(Decimal(usd))


def isolated(text: object) -> Markup:
    """Text of people, files and LLMs, whose direction must not change that of the page around it."""
    return Markup("<bdi>{}</bdi>").format(escape(text))


def prose(text: str) -> Markup:
    """Text whose `names` in backticks are shown as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


FILTERS: Mapping[str, Callable[..., object]] = {
    "time": time_tag,
    "duration": duration,
    "number": number,
    "counted": counted,
    "share": share,
    "size": size,
    "money": money,
    "dollars": dollars,
    "text": isolated,
    "prose": prose,
}
