"""The lines that `python -m attributes` prints about questions without a valid response: counts, examples, remedies."""

import re
from collections.abc import Sequence
from itertools import groupby

from attributes.llm.results import QuestionResult
from limbeck.shared.failure_reasons import failure_reason

MAX_EXAMPLES = 5
# Settings of the service as options of this program; the key and the headers have no option.
_OPTIONS = {"REQUESTS_PER_MIN": "--rpm", "TOKENS_PER_MIN": "--tpm"}
_ONLY_VARIABLES = ("API_KEY", "HEADERS", "PROXY")
_VARIABLE = re.compile(r"LIMBECK_LLM_([A-Z_]+)")


def failure_lines(failures: Sequence[QuestionResult], *, with_strategy: bool) -> list[str]:
    """The failures by reason, most frequent first. `with_strategy`: examples name their strategy."""
    groups = [list(group) for _, group in groupby(sorted(failures, key=_reason), key=_reason)]
    lines = []
    for group in sorted(groups, key=len, reverse=True):
        reason = _reason(group[0])
        questions = "1 question" if len(group) == 1 else f"{len(group):,} questions"
        lines.append(f"{reason}: {questions} without a response, because {failure_reason(reason).meaning}")
        for result in group[:MAX_EXAMPLES]:
            strategy = f" [{result.question.strategy.ref}]" if with_strategy else ""
            lines.append(f"  for example {result.question.label}{strategy}: {result.detail}".rstrip(": "))
        lines.append(f"  remedy: {remedy(reason)}")
    return lines


def remedy(reason: str) -> str:
    """The remedy of a reason or an error, with the options of this program in place of the service's variables."""
    return _VARIABLE.sub(_option, failure_reason(reason).remedy)


def _option(match: re.Match[str]) -> str:
    name = match[1]
    if name in _ONLY_VARIABLES:
        return match[0]
    return _OPTIONS.get(name, f"--{name.lower().replace('_', '-')}")


def _reason(result: QuestionResult) -> str:
    return result.reason or ""
