"""The summary of failures: counts, examples and remedies by reason."""

from collections.abc import Sequence

from limbeck.shared.failure_reasons import FAILURE_REASONS
from store.lifecycle.failures import NUM_EXAMPLES, Failure, summarise


def names(positions: Sequence[int]) -> dict[int, str]:
    return {at: f"label {at}" for at in positions}


def test_reasons_are_ordered_by_labels_without_attributes() -> None:
    failed = {at: Failure("timeout", "60 s") for at in (7, 3, 5, 9)} | {1: Failure("refused", "")}
    partly = {2: Failure("refused", "no"), 4: Failure("wrong_label", "about\n another")}
    summary = summarise(failed, partly, names)
    assert [(one.reason, one.count, one.partly_count) for one in summary] == [
        ("timeout", 4, 0),
        ("refused", 1, 1),
        ("wrong_label", 0, 1),
    ]
    assert [example.position for example in summary[0].examples] == [3, 5, 7]
    assert len(summary[0].examples) == NUM_EXAMPLES
    assert [(one.subject, one.detail) for one in summary[1].examples] == [("label 1", ""), ("label 2", "no")]
    assert summary[2].examples[0].detail == "about another"
    for one in summary:
        assert (one.meaning, one.remedy) == (FAILURE_REASONS[one.reason].meaning, FAILURE_REASONS[one.reason].remedy)


def test_an_unknown_reason_has_a_remedy_too() -> None:
    (one,) = summarise({0: Failure("a_new_reason", "x")}, {}, names)
    assert one.remedy
