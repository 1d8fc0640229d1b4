"""Reports as JSON."""

import json

from attributes.gates.evaluate import evaluate_gates
from attributes.gates.types import GATE_TITLES, GATES
from tests.attributes.gates.conftest import entries_with


def test_a_report_as_json_names_each_gate() -> None:
    report = evaluate_gates(lambda: entries_with("crane", "a loud call", "a bill like that of a heron"))
    document = json.loads(json.dumps(report.as_json()))
    assert document == report.as_json()
    assert [gate["tells"] for gate in document["gates"]] == [GATE_TITLES[gate] for gate in GATES]
    assert (report.holds, report["nonvisual"].holds, report["margin"].holds) == (False, False, None)


def test_every_gate_has_a_title() -> None:
    assert set(GATE_TITLES) == set(GATES)
