"""Second opinion: an LLM decides whether the lines that the list of non-visual words found are visible after all.

One question per label and `MAX_LINES` lines, sent with the retries, limits and response formats of the LLM client
(`attributes.llm.client`). `found` maps labels to their lines that contain a word of the list:

    opinion = SecondOpinion()
    await client.query_all(list(opinion.questions(found, domain)), on_result=opinion.add_result)
    evaluate_gates(entries, GateCriteria(visible_texts=opinion.visible_texts, judge_model=model))

A line without a usable verdict keeps the verdict of the word list.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from attributes.llm.results import QuestionResult
from attributes.prompts.questions import Question
from attributes.prompts.strategy import Strategy, read_strategy
from attributes.types import Label
from limbeck.shared.text import clean

MAX_LINES = 24
_MAX_LINE_CHARS = 600
_VERDICT = re.compile(r"\b(\d+)\W+(seen|unseen)\b", re.IGNORECASE)


@cache
def judge_strategy() -> Strategy:
    """The strategy (prompt) of the second opinion: `judge.toml`."""
    return read_strategy(Path(__file__).with_name("judge.toml"))


@dataclass
class SecondOpinion:
    """Verdicts of the LLM: `visible_texts` are the texts that it calls seen, `failed` holds the failed questions."""

    visible_texts: set[str] = field(default_factory=set)
    failed: list[QuestionResult] = field(default_factory=list)
    _texts: dict[tuple[Label, str], list[str]] = field(default_factory=dict)

    def questions(self, found: Mapping[Label, Sequence[str]], domain: str = "") -> Iterator[Question]:
        """The questions about the lines in `found`, at most `MAX_LINES` lines per question."""
        for label, texts in found.items():
            distinct = list(dict.fromkeys(texts))
            for start in range(0, len(distinct), MAX_LINES):
                batch = distinct[start : start + MAX_LINES]
                question = Question(judge_strategy(), label, domain, text=_numbered(batch))
                self._texts[label, question.text] = batch
                yield question

    def add_result(self, result: QuestionResult) -> None:
        """Add the verdicts in the result of a question from `questions`."""
        texts = self._texts[result.question.label, result.question.text]
        if result.reason is not None:
            self.failed.append(result)
        for number, verdict in (match for line in result.lines for match in _VERDICT.findall(line.text)):
            if verdict.lower() == "seen" and 0 < int(number) <= len(texts):
                self.visible_texts.add(texts[int(number) - 1])


def _numbered(texts: Sequence[str]) -> str:
    numbered = {str(number): clean(text, _MAX_LINE_CHARS) for number, text in enumerate(texts, start=1)}
    return json.dumps(numbered, ensure_ascii=False)
