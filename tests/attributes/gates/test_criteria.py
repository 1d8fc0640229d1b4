"""The digest of gate criteria, which decides whether an old report is reused."""

from pathlib import Path

import pytest

from attributes.gates.criteria import GateCriteria, load_word_lists
from attributes.gates.token_lengths import TokenCounter
from attributes.gates.types import Thresholds


def test_equal_criteria_have_equal_digests() -> None:
    assert GateCriteria().digest == GateCriteria(thresholds=Thresholds(), word_lists=load_word_lists()).digest


def test_a_second_opinion_does_not_change_the_digest() -> None:
    assert GateCriteria().digest == GateCriteria(visible_texts={"a tail"}, judge_model="m").digest


@pytest.mark.parametrize("changed", ["thresholds", "tokens", "words"])
def test_other_criteria_have_other_digests(changed: str, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("expensive\n", encoding="utf-8")
    criteria = {
        "thresholds": GateCriteria(thresholds=Thresholds(shared=0.2)),
        "tokens": GateCriteria(token_counter=TokenCounter(lambda texts: [1 for _ in texts], 77, "another counter")),
        "words": GateCriteria(word_lists=load_word_lists([words])),
    }[changed]
    assert criteria.digest != GateCriteria().digest


def test_user_files_are_named_after_the_built_in_list(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("expensive\n", encoding="utf-8")
    assert load_word_lists([words]).name == 'our word list and "words.txt"'
