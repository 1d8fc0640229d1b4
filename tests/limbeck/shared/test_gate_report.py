"""The report for a terminal."""

import pytest
from rich.console import Console

from attributes.gates.evaluate import evaluate_gates
from attributes.gates.reports.html_report import render_html
from attributes.types import Entry, Line
from limbeck.models import Report
from limbeck.shared.gate_report import format_figure, format_threshold, print_report
from tests.attributes.gates.conftest import entries_with


def test_figures_and_thresholds() -> None:
    report = evaluate_gates(lambda: entries_with("crane", "a loud call"))
    assert (format_figure(report["nonvisual"]), format_threshold(report["nonvisual"])) == ("7.7%", "under 2%")
    assert (format_figure(report["own"]), format_threshold(report["own"])) == ("0", "0")
    assert format_figure(report["margin"]) == "–"


@pytest.mark.parametrize(("worst", "shown"), [(5, True), (0, False)])
def test_violations_of_failing_gates_are_shown(worst: int, shown: bool) -> None:
    report = evaluate_gates(lambda: entries_with("crane", "a loud [red]call[/red]"))
    console = Console(record=True, width=120, highlight=False)
    print_report("birds.json", report, report.results, worst=worst, console=console)
    text = console.export_text()
    assert "birds.json: 4 of 4 labels described, 13 lines" in text
    assert ("a loud [red]call[/red] (loud)" in text) == shown


def test_the_clients_model_of_a_report_is_printed_in_the_same_way() -> None:
    report = evaluate_gates(lambda: entries_with("crane", "a loud call", "a bill like that of a heron"))
    head = {"attribute_set_id": "ats_1", "teacher": None, "created_at": "2026-11-29T00:00:00Z"}
    received = Report.model_validate({**head, **report.as_json()})
    printed = []
    for counts, results in ((report, report.results), (received, received.gates)):
        console = Console(record=True, width=120, highlight=False)
        print_report("set", counts, results, console=console)
        printed.append(console.export_text())
    assert printed[0] == printed[1]
    assert "(loud)" in printed[0]


def test_gates_that_are_not_judged_are_counted() -> None:
    german = [
        Entry(name, lines=(Line("sentence", text),))
        for name, text in {
            "Kranich": "Der Vogel hat eine rote Krone und einen langen Hals.",
            "Reiher": "Der Vogel hat einen schwarzen Streifen über dem Auge.",
        }.items()
    ]
    for entries, note in (
        (german, "4 gates were not judged, because of the language of the lines."),
        (
            [*entries_with(), *german],
            "4 gates judge a part of the lines: 2 lines are in a language that they do not know.",
        ),
    ):
        report = evaluate_gates(lambda entries=entries: entries)
        console = Console(record=True, width=160, highlight=False)
        print_report("set", report, report.results, console=console)
        assert note in console.export_text()
        assert note in render_html("set", report)
    assert "All 9 gates measured hold." in render_html("set", evaluate_gates(entries_with))
    page = render_html("set", evaluate_gates(lambda: german))
    assert "The 5 gates judged hold." in page
    assert page.count("<i>not judged</i>") == 4
