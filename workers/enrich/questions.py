"""What the parts of an enrich job ask: a question with the places in the job's results that its answer goes to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from attributes.prompts.questions import Question, questions_for_label, questions_for_pair
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from store.enrich.results import Place

Ended = frozenset[tuple[int, int, int]] | set[tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class PlannedQuestion:
    """An ask, and where its answer goes: to one label or image, or to both labels of a pair. `subject` is for people:
    whom it is about."""

    ask: Question
    places: tuple[Place, ...]
    subject: str


@dataclass(frozen=True, slots=True)
class Unaskable:
    """What cannot even be asked: it ends at once, for `reason`."""

    subject: str
    places: tuple[Place, ...]
    reason: str
    detail: str


def about_labels(
    steps: Mapping[int, Strategy], labels: Iterable[tuple[int, Label]], domain: str, ended: Ended
) -> Iterator[PlannedQuestion]:
    """Every step's questions about each (position, label), without those that have ended."""
    for position, label in labels:
        for step, strategy in steps.items():
            for slot, ask in enumerate(questions_for_label(strategy, label, domain)):
                if (step, position, slot) not in ended:
                    yield PlannedQuestion(ask, (Place(step, position, slot),), str(label))


def between_labels(
    step: int,
    strategy: Strategy,
    pairs: Sequence[tuple[int, int]],
    labels: Mapping[int, Label],
    domain: str,
    ended: Ended,
) -> Iterator[PlannedQuestion]:
    """The step's questions about pairs of positions, the lower one first, without those that have ended.

    A label's slot names the other one: what is said of a pair stands at both of its labels.
    """
    for low, high in pairs:
        for sample, ask in enumerate(questions_for_pair(strategy, labels[low], labels[high], domain)):
            slots = high * strategy.samples + sample, low * strategy.samples + sample
            if (step, low, slots[0]) in ended:
                continue
            # The ask has its two labels in an order of its own, so that a pair is one question however it is met.
            swapped = ask.label != labels[low]
            places = Place(step, low, slots[0], int(swapped)), Place(step, high, slots[1], int(not swapped))
            yield PlannedQuestion(ask, places, f"{labels[low]} and {labels[high]}")
