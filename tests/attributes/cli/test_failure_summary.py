"""Failures of `python -m attributes` by reason, and remedies with the options of this program."""

import re

from attributes.cli.failure_summary import MAX_EXAMPLES, failure_lines, remedy
from attributes.llm.results import REASONS, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question
from attributes.prompts.strategy import load_strategy
from attributes.types import Label


def failure(name: str, reason: str, detail: str) -> QuestionResult:
    question = Question(load_strategy("sentence"), Label(name))
    return QuestionResult(question=question, key="k", reason=reason, detail=detail, calls=[])


def test_failures_are_grouped_by_reason_with_a_few_examples() -> None:
    failures = [failure("auk", "timeout", "60 s"), *(failure(f"bird {n}", "refused", "no") for n in range(9))]
    lines = failure_lines(failures, with_strategy=True)
    assert lines[0].startswith("refused: 9 questions without a response")
    assert lines[1 : MAX_EXAMPLES + 1] == [f"  for example bird {n} [sentence@1]: no" for n in range(MAX_EXAMPLES)]
    assert lines[MAX_EXAMPLES + 1].startswith("  remedy: ")
    assert lines[MAX_EXAMPLES + 2].startswith("timeout: 1 question without a response")
    assert len(lines) == MAX_EXAMPLES + 5


def test_remedies_name_options_of_this_program() -> None:
    assert "Raise --timeout-s, or lower --concurrency" in remedy("timeout")
    assert "Set --rpm and --tpm" in remedy("rate_limited")
    assert "LIMBECK_LLM_API_KEY" in remedy("llm_wrong_key")
    options = {f"--{name.replace('_', '-')}" for name in LLMSettings.model_fields} | {"--rpm", "--tpm", "--batch"}
    named = {option for reason in REASONS for option in re.findall(r"--[a-z-]+", remedy(reason))}
    assert "--max-reasoning-tokens" in named
    assert named <= options
