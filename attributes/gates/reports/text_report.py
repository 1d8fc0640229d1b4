"""A report for a terminal: a table of figures, then the worst violations of each gate that fails."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from attributes.gates.types import GATE_TITLES, GateResult, Report, Violation
from attributes.text import clean

_MAX_CHARS = 160


def print_report(name: str, report: Report, *, worst: int = 5, console: Console | None = None) -> None:
    """Print the report of the set `name` with at most `worst` violations per failing gate."""
    console = console or Console(highlight=False)
    described = f"{report.num_described:,} of {report.num_labels:,} labels described"
    console.print(f"[bold]{escape(clean(name, _MAX_CHARS))}[/bold]: {described}, {report.num_lines:,} lines\n")
    table = Table(box=None, pad_edge=False)
    for column in ("gate", "", "found", "allowed", "labels"):
        table.add_column(column, justify="right" if column in ("found", "allowed", "labels") else "left")
    for result in report.results:
        table.add_row(
            f"{GATE_TITLES[result.gate]}",
            _verdict(result),
            format_figure(result),
            format_threshold(result),
            f"{result.num_labels:,}",
        )
    console.print(table)
    for result in report.results:
        if result.holds is False and worst > 0:
            _print_worst(console, result, worst)
    console.print(
        "\n" + "; ".join(f"{result.gate}: {escape(result.judged_by)}" for result in report.results), style="dim"
    )


def format_figure(result: GateResult) -> str:
    """The figure as text: `28.0%`, `17`, or a dash if it was not measured."""
    if result.figure is None:
        return "–"
    return f"{result.figure:.1%}" if result.unit == "share" else f"{result.figure:,.0f}"


def format_threshold(result: GateResult) -> str:
    """The threshold as text: `15%`, `under 2%`, `0`."""
    if result.unit == "share":
        return f"{'under ' if result.gate == 'nonvisual' else ''}{result.threshold:.0%}"
    return f"{result.threshold:,.0f}"


def _verdict(result: GateResult) -> Text:
    if result.holds is None:
        return Text("not measured", style="dim")
    return Text("holds", style="green") if result.holds else Text("fails", style="bold red")


def _print_worst(console: Console, result: GateResult, worst: int) -> None:
    shown = result.worst[:worst]
    console.print(f"\n[bold]{GATE_TITLES[result.gate]}[/bold] ({len(shown)} of {result.num_labels:,} labels)")
    for violation in shown:
        console.print(f"  {escape(clean(violation.label, _MAX_CHARS))}{_remark(violation)}")
        for line in violation.lines[:3]:
            words = ", ".join(clean(word, _MAX_CHARS) for word in line.words)
            console.print(f"    {escape(clean(line.text, _MAX_CHARS))} [red]({escape(words)})[/red]")


def _remark(violation: Violation) -> str:
    notes = [violation.note] if violation.note else []
    remark = "; ".join([*notes, *(f"→ {other}" for other in violation.others[:3])])
    return f" [dim]{escape(clean(remark, _MAX_CHARS))}[/dim]" if remark else ""
