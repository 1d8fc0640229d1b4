"""A report as a page of HTML that stands by itself: a bar for each figure, a tick for its threshold, the offenders."""

import re
from html import escape
from pathlib import Path
from string import Template

from attributes.gates.text_report import allowed_by, figure_of
from attributes.gates.types import GATE_TITLES, GateResult, LineViolation, Report, Violation
from attributes.text import clean

_TEMPLATE = Path(__file__).with_name("html_report.html")
_MAX_CHARS = 600
_AT_ONCE = 4  # offenders that are seen before a click


def render_html(name: str, report: Report) -> str:
    """The page."""
    failing = [result for result in report.results if result.holds is False]
    measured = sum(result.holds is not None for result in report.results)
    verdict = f"{len(failing)} of {measured} gates fail." if failing else f"All {measured} gates measured hold."
    described = f"{report.num_described:,} of {report.num_labels:,} labels described, {report.num_lines:,} lines."
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_shown(name),
        counts=described,
        verdict=f"<strong>{verdict}</strong>",
        gates="\n".join(_gate(result, report) for result in report.results),
        judged="Judged by: " + "; ".join(f"{one.gate} – {_shown(one.judged_by)}" for one in report.results) + ".",
    )


def _gate(result: GateResult, report: Report) -> str:
    state, said = {None: ("open", "not measured"), True: ("holds", "holds"), False: ("fails", "fails")}[result.holds]
    tells = GATE_TITLES[result.gate]
    head = f"<h2>{tells[0].upper()}{tells[1:]} <i>{said}</i></h2>"
    figure = f'<div class="figure">{figure_of(result)}</div>'
    parts = [f'<section class="{state}"><div class="head">{head}{figure}</div>']
    if result.figure is None:
        return parts[0] + f'<p class="soft">{_shown(result.judged_by)}</p></section>'
    parts.append(_bar(result, report))
    shown = list(map(_offence, result.worst))
    if shown and result.holds is False:
        parts.append(f"<dl>{''.join(shown[:_AT_ONCE])}</dl>")
        shown = shown[_AT_ONCE:]
    if shown:
        more = "more of" if result.holds is False else "of"
        parts.append(f"<details><summary>{len(shown)} {more} {result.num_labels:,} labels</summary>")
        parts.append(f"<dl>{''.join(shown)}</dl></details>")
    return "".join([*parts, "</section>"])


def _bar(result: GateResult, report: Report) -> str:
    """The figure and its threshold, both as shares of the set's lines or labels."""
    full = {"share": 1, "lines": report.num_lines, "labels": report.num_labels}[result.unit] or 1
    at = f'style="--at:{100 * (result.figure or 0.0) / full:.2f}"'
    tick = f'style="--at:{100 * result.threshold / full:.2f}" data-said="{allowed_by(result)} allowed"'
    return f'<div class="track"><b {at}></b><u {tick}></u></div>'


def _offence(offence: Violation) -> str:
    aside = "; ".join([*([offence.note] if offence.note else []), *(f"→ {other}" for other in offence.others)])
    head = f"<dt>{_shown(offence.label)}{f'<span>{_shown(aside)}</span>' if aside else ''}</dt>"
    return head + "".join(f"<dd>{_line(line)}</dd>" for line in offence.lines[:6])


def _line(line: LineViolation) -> str:
    """The line with its words marked; what is no word of it stands behind."""
    text, behind = _shown(line.text), []
    for word in line.words:
        # Words were parted at hyphens and white space, and folded.
        pattern = r"[\W_]+".join(map(re.escape, escape(word).split()))
        marked = re.sub(rf"(?<![\w&])({pattern})(?!\w)", r"<mark>\1</mark>", text, count=1, flags=re.IGNORECASE)
        behind += [] if marked != text else [_shown(word)]
        text = marked
    return text + (f" <small>{', '.join(behind)}</small>" if behind else "")


def _shown(text: str) -> str:
    return escape(clean(text, _MAX_CHARS))
