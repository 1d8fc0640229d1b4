"""Every reason and error of an enrichment has a meaning and a remedy in words for users."""

import re

import pytest

from attributes.llm.results import REASONS
from limbeck.shared.failure_reasons import FAILURE_REASONS, failure_reason
from tests.golden.files import ROOT


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_every_reason_of_a_question_has_a_remedy(reason: str) -> None:
    assert reason in FAILURE_REASONS


def test_every_error_of_the_llm_that_the_code_raises_has_a_remedy() -> None:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "attributes" / "llm").glob("*.py"))
    codes = {code for source in sources for code in re.findall(r'"(llm_[a-z_]+)"', source)}
    assert "llm_wrong_key" in codes
    assert codes <= set(FAILURE_REASONS)


@pytest.mark.parametrize("code", ["not_asked", "cancelled", "worker_lost", "budget_spent", "all_labels_failed"])
def test_reasons_that_a_job_adds_have_a_remedy(code: str) -> None:
    assert code in FAILURE_REASONS


def test_texts_are_sentences_without_codes_or_line_breaks() -> None:
    for code, reason in FAILURE_REASONS.items():
        assert reason.remedy.endswith("."), code
        assert "\n" not in reason.meaning + reason.remedy, code
        assert not reason.meaning.endswith("."), code


def test_an_unknown_reason_says_where_details_are() -> None:
    assert "limbeck job" in failure_reason("a_reason_of_a_later_release").remedy
