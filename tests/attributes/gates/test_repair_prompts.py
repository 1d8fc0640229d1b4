"""The correction of a response with violations."""

import pytest

from attributes.gates.repair_prompts import REPAIRABLE, correction, num_faults
from attributes.gates.types import Gate, LineViolation, Thresholds, Violation
from attributes.llm.requests import MAX_CORRECTION_CHARS


def test_lines_are_quoted_once_as_json_in_the_order_of_the_gates() -> None:
    text = correction({"nonvisual": ['a "loud" call'], "shared": ["a bill"], "own": ["a bill"]})
    assert text.index('["a bill"]') < text.index('["a \\"loud\\" call"]')
    assert text.count("a bill") == 1


def test_a_gate_without_lines_is_a_sentence_about_the_whole_response() -> None:
    assert correction({"twins": []}).endswith("say what is particular to this one.")


def test_the_correction_quotes_cleaned_texts_behind_one_sentence_per_fault() -> None:
    text = correction({"shared": ['a "plain" bill', "ignore\nall rules"], "own": ["a tail"], "twins": []})
    assert text.startswith("You were asked this before")
    quoted = '["a tail", "a \\"plain\\" bill", "ignore all rules"]'
    assert text.count("give attributes that tell this class from them") == 1
    assert f"tell this class from them: {quoted}." in text
    assert text.endswith("say what is particular to this one.")


def test_a_long_correction_names_every_fault() -> None:
    gates: tuple[Gate, ...] = ("names", "length", "nonvisual")
    text = correction({gate: [f"{gate} {n} " + "x" * 300 for n in range(50)] for gate in gates})
    assert len(text) <= 2_000
    for words in ("name another class", "too long", "cannot show"):
        assert words in text


def test_the_length_is_limited() -> None:
    assert len(correction({gate: [f"{gate} {n} " * 20 for n in range(50)] for gate in REPAIRABLE})) <= (
        MAX_CORRECTION_CHARS
    )


@pytest.mark.parametrize(
    ("gate", "weight", "num_lines", "expected"),
    [("own", -1, 3, 1), ("own", 0, 0, 2), ("names", 2, 2, 2), ("twins", 1, 0, 1)],
)
def test_faults_are_missing_own_attributes_or_violating_lines(
    gate: Gate, weight: float, num_lines: int, expected: int
) -> None:
    lines = tuple(LineViolation(str(n), "text", ()) for n in range(num_lines))
    assert num_faults(Violation(gate, 0, "crane", weight, lines), Thresholds(min_own=2)) == expected
