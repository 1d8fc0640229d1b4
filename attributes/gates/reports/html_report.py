"""A report as a self-contained HTML page: a bar for each figure, a tick for its threshold, the worst violations."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from attributes.gates.types import GateResult, LineViolation, Report, Status
from limbeck.shared.gate_report import format_figure, format_threshold, not_judged_note
from limbeck.shared.text import clean

_MAX_CHARS = 600
_VERDICTS: Mapping[Status, tuple[str, str]] = {  # class, text
    "holds": ("holds", "holds"),
    "fails": ("fails", "fails"),
    "not_judged": ("open", "not judged"),
    "not_measured": ("open", "not measured"),
}
_NUM_OPEN = 4  # violations shown without a click
_TEMPLATES = Environment(
    loader=PackageLoader("attributes.gates.reports"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_html(name: str, report: Report) -> str:
    """The HTML page of the report of the set `name`."""
    return _TEMPLATES.get_template("report.html.jinja").render(
        name=name,
        report=report,
        num_failing=sum(result.holds is False for result in report.results),
        num_measured=sum(result.holds is not None for result in report.results),
        not_judged=not_judged_note(report.results),
        gates=[_gate(result, report) for result in report.results],
    )


def _gate(result: GateResult, report: Report) -> dict[str, object]:
    """What the page shows of a gate. The bar and its tick are percentages of the set's lines or labels."""
    css_class, verdict = _VERDICTS[result.status]
    total = {"share": 1, "lines": report.num_lines, "labels": report.num_labels}[result.unit] or 1
    num_open = _NUM_OPEN if result.holds is False else 0
    return {
        "result": result,
        "css_class": css_class,
        "verdict": verdict,
        "title": f"{result.tells[0].upper()}{result.tells[1:]}",
        "figure": format_figure(result),
        "figure_percent": f"{100 * (result.figure or 0.0) / total:.2f}",
        "threshold": format_threshold(result),
        "threshold_percent": f"{100 * result.threshold / total:.2f}",
        "open": result.worst[:num_open],
        "folded": result.worst[num_open:],
    }


class MarkedText(NamedTuple):
    """The text of a line in parts, each with whether it is marked; and the words that the text does not contain."""

    parts: list[tuple[str, bool]]
    missing: list[str]


def mark_words(line: LineViolation) -> MarkedText:
    """The line with the violating words marked where they first occur."""
    text = _shown(line.text)
    spans: list[tuple[int, int]] = []
    missing = []
    for word in line.words:
        # The words were folded and split at hyphens and white space.
        pattern = r"[\W_]+".join(map(re.escape, word.split()))
        found = re.search(rf"(?<!\w)(?:{pattern})(?!\w)", text, re.IGNORECASE) if pattern else None
        if found is None:
            missing.append(_shown(word))
        elif all(found.end() <= start or end <= found.start() for start, end in spans):
            spans.append(found.span())
    parts, at = [], 0
    for start, end in sorted(spans):
        parts += [(text[at:start], False), (text[start:end], True)]
        at = end
    return MarkedText([*parts, (text[at:], False)], missing)


def _shown(text: str) -> str:
    return clean(text, _MAX_CHARS)


_TEMPLATES.filters |= {"shown": _shown, "marked": mark_words, "arrow": "→ {}".format}
