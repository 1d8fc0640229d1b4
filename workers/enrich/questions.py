"""Questions that the parts of an enrich job plan to send, each with the result slots that its response is stored in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question, questions_for_label, questions_for_pair
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from store.enrich.results import ResultSlot

# (step, position, slot) of the questions that have a result.
FinishedQuestions = frozenset[tuple[int, int, int]] | set[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class PlannedQuestion:
    """A question, and the result slots of its label or image, or of both labels of a pair.

    `subject` names the label, pair or image in messages.
    """

    question: Question
    slots: tuple[ResultSlot, ...]
    subject: str


@dataclass(frozen=True, slots=True)
class InvalidQuestion:
    """A question that cannot be sent: it fails at once with `reason`."""

    subject: str
    slots: tuple[ResultSlot, ...]
    reason: str
    detail: str


def label_questions(
    steps: Mapping[int, Strategy], labels: Iterable[tuple[int, Label]], domain: str, finished: FinishedQuestions
) -> Iterator[PlannedQuestion]:
    """The questions of every step about each (position, label), without the finished ones."""
    for position, label in labels:
        for step, strategy in steps.items():
            for slot, question in enumerate(questions_for_label(strategy, label, domain)):
                if (step, position, slot) not in finished:
                    yield PlannedQuestion(question, (ResultSlot(step, position, slot),), str(label))


def pair_questions(
    step: int,
    strategy: Strategy,
    pairs: Sequence[tuple[int, int]],
    labels: Mapping[int, Label],
    domain: str,
    finished: FinishedQuestions,
) -> Iterator[PlannedQuestion]:
    """The step's questions about pairs of positions (lower position first), without the finished ones.

    A response is stored at both labels of the pair; the slot of each label is derived from the position of the other.
    """
    for low, high in pairs:
        for sample, question in enumerate(questions_for_pair(strategy, labels[low], labels[high], domain)):
            slots = high * strategy.samples + sample, low * strategy.samples + sample
            if (step, low, slots[0]) in finished:
                continue
            # The question orders its labels by itself, so that a pair has one cache key in any vocabulary.
            swapped = question.label != labels[low]
            both = (
                ResultSlot(step, low, slots[0], int(swapped)),
                ResultSlot(step, high, slots[1], int(not swapped)),
            )
            yield PlannedQuestion(question, both, f"{labels[low]} and {labels[high]}")


def group_by_key(
    questions: Iterable[PlannedQuestion | InvalidQuestion], settings: LLMSettings
) -> tuple[dict[str, list[PlannedQuestion]], list[InvalidQuestion]]:
    """Cache key -> the questions with this key, in order; and the invalid questions."""
    by_key: dict[str, list[PlannedQuestion]] = {}
    invalid: list[InvalidQuestion] = []
    for planned in questions:
        if isinstance(planned, InvalidQuestion):
            invalid.append(planned)
        else:
            by_key.setdefault(cache_key_of(planned.question, settings), []).append(planned)
    return by_key, invalid
