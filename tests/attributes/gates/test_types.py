"""Reports as JSON."""

import json

from attributes.gates.evaluate import evaluate_gates
from attributes.gates.types import GATE_TITLES, GATES, report_from_json
from tests.attributes.gates.conftest import entries_with


def test_a_report_survives_a_json_round_trip() -> None:
    report = evaluate_gates(lambda: entries_with("crane", "a loud call", "a bill like that of a heron"))
    document = json.loads(json.dumps(report.as_json()))
    parsed = report_from_json(document)
    assert parsed.as_json() == document
    assert (parsed.holds, parsed["nonvisual"].holds, parsed["margin"].holds) == (False, False, None)


def test_every_gate_has_a_title() -> None:
    assert set(GATE_TITLES) == set(GATES)
