"""A second opinion by an LLM on the lines that the word list found: one question a label, with the client's retries,
limits and ladder (`attributes.llm.client`). `found`: label -> its lines that hold a word of the list.

    opinion = Opinion()
    await enricher.ask_all(opinion.asks(found, domain), on_outcome=opinion.take)
    check(entries, GateCriteria(visible=opinion.visible, model=model))

What the LLM says nothing usable about stays as the list judged it.
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
from attributes.text import clean
from attributes.types import Label

MAX_LINES = 24
_MAX_LINE_CHARS = 600
_VERDICT = re.compile(r"\b(\d+)\W+(seen|unseen)\b", re.IGNORECASE)


@cache
def judge_strategy() -> Strategy:
    """The prompt of the second opinion."""
    return read_strategy(Path(__file__).with_name("judge.toml"))


@dataclass
class SecondOpinion:
    """What the LLM has said: `visible` holds the texts that it calls seen; `failed` why questions came to nothing."""

    visible: set[str] = field(default_factory=set)
    failed: list[QuestionResult] = field(default_factory=list)
    _texts: dict[tuple[Label, str], list[str]] = field(default_factory=dict)

    def asks(self, found: Mapping[Label, Sequence[str]], domain: str = "") -> Iterator[Question]:
        """The questions about the lines found of each label, `MAX_LINES` at a time."""
        for label, texts in found.items():
            distinct = list(dict.fromkeys(texts))
            for start in range(0, len(distinct), MAX_LINES):
                some = distinct[start : start + MAX_LINES]
                ask = Question(judge_strategy(), label, domain, text=_numbered(some))
                self._texts[label, ask.text] = some
                yield ask

    def take(self, outcome: QuestionResult) -> None:
        """Take an answer."""
        texts = self._texts[outcome.ask.label, outcome.ask.text]
        if outcome.reason is not None:
            self.failed.append(outcome)
        for number, verdict in (found for line in outcome.lines for found in _VERDICT.findall(line.text)):
            if verdict.lower() == "seen" and 0 < int(number) <= len(texts):
                self.visible.add(texts[int(number) - 1])


def _numbered(texts: Sequence[str]) -> str:
    numbered = {str(number): clean(text, _MAX_LINE_CHARS) for number, text in enumerate(texts, start=1)}
    return json.dumps(numbered, ensure_ascii=False)
