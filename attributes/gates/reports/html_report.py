"""A report as a self-contained HTML page: a bar for each figure, a tick for its threshold, the worst violations."""

import re
from html import escape
from pathlib import Path
from string import Template

from attributes.gates.reports.text_report import format_figure, format_threshold
from attributes.gates.types import GATE_TITLES, GateResult, LineViolation, Report, Violation
from attributes.text import clean

_TEMPLATE = Path(__file__).with_name("html_report.html")
_MAX_CHARS = 600
_VERDICTS = {None: ("open", "not measured"), True: ("holds", "holds"), False: ("fails", "fails")}  # class, text
_NUM_OPEN = 4  # violations shown without a click


def render_html(name: str, report: Report) -> str:
    """The HTML page of the report of the set `name`."""
    failing = [result for result in report.results if result.holds is False]
    measured = sum(result.holds is not None for result in report.results)
    verdict = f"{len(failing)} of {measured} gates fail." if failing else f"All {measured} gates measured hold."
    described = f"{report.num_described:,} of {report.num_labels:,} labels described, {report.num_lines:,} lines."
    judged_by = "; ".join(f"{result.gate} – {_escaped(result.judged_by)}" for result in report.results)
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_escaped(name),
        counts=described,
        verdict=f"<strong>{verdict}</strong>",
        gates="\n".join(_gate(result, report) for result in report.results),
        judged=f"Judged by: {judged_by}.",
    )


def _gate(result: GateResult, report: Report) -> str:
    css_class, verdict = _VERDICTS[result.holds]
    title = GATE_TITLES[result.gate]
    head = f"<h2>{title[0].upper()}{title[1:]} <i>{verdict}</i></h2>"
    figure = f'<div class="figure">{format_figure(result)}</div>'
    parts = [f'<section class="{css_class}"><div class="head">{head}{figure}</div>']
    if result.figure is None:
        return parts[0] + f'<p class="soft">{_escaped(result.judged_by)}</p></section>'
    parts.append(_bar(result, report))
    shown = list(map(_violation, result.worst))
    if shown and result.holds is False:
        parts.append(f"<dl>{''.join(shown[:_NUM_OPEN])}</dl>")
        shown = shown[_NUM_OPEN:]
    if shown:
        more = "more of" if result.holds is False else "of"
        parts.append(f"<details><summary>{len(shown)} {more} {result.num_labels:,} labels</summary>")
        parts.append(f"<dl>{''.join(shown)}</dl></details>")
    return "".join([*parts, "</section>"])


def _bar(result: GateResult, report: Report) -> str:
    """The bar of the figure with a tick at the threshold, both as shares of the set's lines or labels."""
    total = {"share": 1, "lines": report.num_lines, "labels": report.num_labels}[result.unit] or 1
    at = f'style="--at:{100 * (result.figure or 0.0) / total:.2f}"'
    tick = f'style="--at:{100 * result.threshold / total:.2f}" data-label="{format_threshold(result)} allowed"'
    return f'<div class="track"><b {at}></b><u {tick}></u></div>'


def _violation(violation: Violation) -> str:
    notes = [violation.note] if violation.note else []
    remark = "; ".join([*notes, *(f"→ {other}" for other in violation.others)])
    head = f"<dt>{_escaped(violation.label)}{f'<span>{_escaped(remark)}</span>' if remark else ''}</dt>"
    return head + "".join(f"<dd>{_line(line)}</dd>" for line in violation.lines[:6])


def _line(line: LineViolation) -> str:
    """The line with the violating words marked; words that the text does not contain follow it."""
    text, following = _escaped(line.text), []
    for word in line.words:
        # The words were folded and split at hyphens and white space.
        pattern = r"[\W_]+".join(map(re.escape, escape(word).split()))
        marked = re.sub(rf"(?<![\w&])({pattern})(?!\w)", r"<mark>\1</mark>", text, count=1, flags=re.IGNORECASE)
        following += [] if marked != text else [_escaped(word)]
        text = marked
    return text + (f" <small>{', '.join(following)}</small>" if following else "")


def _escaped(text: str) -> str:
    return escape(clean(text, _MAX_CHARS))
