"""Planned questions: result slots of labels and pairs, finished questions, and grouping by cache key."""

from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.strategy import load_strategy
from attributes.types import Label
from store.enrich.results import ResultSlot
from workers.enrich.questions import InvalidQuestion, group_by_key, label_questions, pair_questions

HERON, IBIS = Label("heron"), Label("ibis")
SETTINGS = LLMSettings(model="m", base_url="http://127.0.0.1/v1")


def test_finished_questions_about_labels_are_left_out() -> None:
    steps = {0: load_strategy("sentence"), 2: load_strategy("phrases")}
    questions = list(label_questions(steps, [(5, HERON), (6, IBIS)], "birds", {(2, 5, 0), (0, 6, 0)}))
    assert [(one.slots, one.subject) for one in questions] == [
        ((ResultSlot(0, 5, 0),), "heron"),
        ((ResultSlot(2, 6, 0),), "ibis"),
    ]


def test_a_pair_has_one_key_and_a_slot_at_both_labels_in_either_order() -> None:
    strategy = load_strategy("contrast")
    (one,) = pair_questions(1, strategy, [(3, 7)], {3: HERON, 7: IBIS}, "birds", set())
    (other,) = pair_questions(1, strategy, [(3, 7)], {3: IBIS, 7: HERON}, "birds", set())
    assert cache_key_of(one.question, SETTINGS) == cache_key_of(other.question, SETTINGS)
    assert {(slot.step, slot.position, slot.slot) for slot in one.slots} == {(1, 3, 7), (1, 7, 3)}
    assert {slot.side for slot in one.slots} == {0, 1}
    assert [slot.side for slot in one.slots] != [slot.side for slot in other.slots]
    assert list(pair_questions(1, strategy, [(3, 7)], {3: HERON, 7: IBIS}, "birds", {(1, 3, 7)})) == []


def test_questions_with_the_same_key_are_grouped_and_invalid_ones_separated() -> None:
    labels = [(0, HERON), (1, IBIS), (2, HERON)]
    questions = list(label_questions({0: load_strategy("sentence")}, labels, "birds", set()))
    invalid = InvalidQuestion("a.jpg", (ResultSlot(0, 3),), "unreadable_image", "")
    by_key, separated = group_by_key([*questions, invalid], SETTINGS)
    assert [[one.slots[0].position for one in group] for group in by_key.values()] == [[0, 2], [1]]
    assert separated == [invalid]
