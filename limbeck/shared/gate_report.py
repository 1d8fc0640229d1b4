"""The report of the quality gates on a terminal: a table of figures, then the worst violations of failing gates.

It prints the results of `attributes.gates` and the client's model of the same report. Both have the fields below.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from limbeck.shared.text import clean, counted

_MAX_CHARS = 160


class PrintedLine(Protocol):
    """A line that violates a gate, and the words that do."""

    @property
    def text(self) -> str: ...
    @property
    def words(self) -> Sequence[str]: ...


class PrintedViolation(Protocol):
    """A label that violates a gate."""

    @property
    def label(self) -> str: ...
    @property
    def lines(self) -> Sequence[PrintedLine]: ...
    @property
    def others(self) -> Sequence[str]: ...
    @property
    def note(self) -> str: ...


class PrintedResult(Protocol):
    """The result of a gate. `tells`: the gate in words. `figure` is None if it was not measured or not judged, because
    its `num_not_judged` lines are in a language that the gate does not know."""

    @property
    def gate(self) -> str: ...
    @property
    def tells(self) -> str: ...
    @property
    def figure(self) -> float | None: ...
    @property
    def threshold(self) -> float: ...
    @property
    def unit(self) -> Literal["share", "labels", "lines"]: ...
    @property
    def holds(self) -> bool | None: ...
    @property
    def num_not_judged(self) -> int: ...
    @property
    def num_labels(self) -> int: ...
    @property
    def judged_by(self) -> str: ...
    @property
    def worst(self) -> Sequence[PrintedViolation]: ...


class PrintedCounts(Protocol):
    """The size of the set."""

    @property
    def num_labels(self) -> int: ...
    @property
    def num_described(self) -> int: ...
    @property
    def num_lines(self) -> int: ...


def print_report(
    name: str,
    counts: PrintedCounts,
    results: Sequence[PrintedResult],
    *,
    worst: int = 5,
    console: Console | None = None,
) -> None:
    """Print the report of the set `name` with at most `worst` violations per failing gate."""
    console = console or Console(highlight=False)
    described = f"{counts.num_described:,} of {counts.num_labels:,} labels described"
    console.print(f"[bold]{escape(clean(name, _MAX_CHARS))}[/bold]: {described}, {counted(counts.num_lines, 'line')}\n")
    table = Table(box=None, pad_edge=False)
    for column in ("gate", "", "found", "allowed", "labels"):
        table.add_column(column, justify="right" if column in ("found", "allowed", "labels") else "left")
    for result in results:
        table.add_row(
            result.tells,
            _verdict(result),
            format_figure(result),
            format_threshold(result),
            f"{result.num_labels:,}",
        )
    console.print(table)
    for result in results:
        if result.holds is False and worst > 0:
            _print_worst(console, result, worst)
    if note := not_judged_note(results):
        console.print(f"\n{note}", style="bold")
    console.print("\n" + "; ".join(f"{result.gate}: {escape(result.judged_by)}" for result in results), style="dim")


def not_judged_note(results: Sequence[PrintedResult]) -> str:
    """How many gates were not judged, or judged a part of the lines only; empty if all were judged."""
    nothing = [result for result in results if result.holds is None and result.num_not_judged]
    part = [result for result in results if result.holds is not None and result.num_not_judged]
    sentences = []
    if nothing:
        gates = counted(len(nothing), "gate was", "gates were")
        sentences.append(f"{gates} not judged, because of the language of the lines.")
    if part:
        num_lines = max(result.num_not_judged for result in part)
        gates = counted(len(part), "gate judges", "gates judge")
        lines = counted(num_lines, "line is", "lines are")
        sentences.append(f"{gates} a part of the lines: {lines} in a language that they do not know.")
    return " ".join(sentences)


def format_figure(result: PrintedResult) -> str:
    """The figure as text: `28.0%`, `17`, or a dash if there is none."""
    if result.figure is None:
        return "–"
    return f"{result.figure:.1%}" if result.unit == "share" else f"{result.figure:,.0f}"


def format_threshold(result: PrintedResult) -> str:
    """The threshold as text: `15%`, `under 2%`, `0`."""
    if result.unit == "share":
        return f"{'under ' if result.gate == 'nonvisual' else ''}{result.threshold:.0%}"
    return f"{result.threshold:,.0f}"


def _verdict(result: PrintedResult) -> Text:
    if result.holds is None:
        return Text("not judged", style="yellow") if result.num_not_judged else Text("not measured", style="dim")
    return Text("holds", style="green") if result.holds else Text("fails", style="bold red")


def _print_worst(console: Console, result: PrintedResult, worst: int) -> None:
    shown = result.worst[:worst]
    console.print(f"\n[bold]{result.tells}[/bold] ({len(shown)} of {result.num_labels:,} labels)")
    for violation in shown:
        console.print(f"  {escape(clean(violation.label, _MAX_CHARS))}{_remark(violation)}")
        for line in violation.lines[:3]:
            words = ", ".join(clean(word, _MAX_CHARS) for word in line.words)
            console.print(f"    {escape(clean(line.text, _MAX_CHARS))} [red]({escape(words)})[/red]")


def _remark(violation: PrintedViolation) -> str:
    notes = [violation.note] if violation.note else []
    remark = "; ".join([*notes, *(f"→ {other}" for other in violation.others[:3])])
    return f" [dim]{escape(clean(remark, _MAX_CHARS))}[/dim]" if remark else ""
