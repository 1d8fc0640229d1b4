"""All gates over a set: violations, accepted lines, and the figures of published files."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from attributes.formats.dclip import read_dclip
from attributes.formats.label2text import join_sentences, read_label2text
from attributes.gates.criteria import GateCriteria
from attributes.gates.evaluate import evaluate_gates
from attributes.gates.margins import Margins
from attributes.gates.token_lengths import TokenCounter
from attributes.gates.types import GATES, Gate, Report, Thresholds, Violation
from attributes.types import Entry, Label, Line
from tests.attributes.gates.conftest import LABELS, entries_with, phrases
from tests.conftest import SHARED_DATA


def report_on(entries: list[Entry], criteria: GateCriteria | None = None) -> Report:
    return evaluate_gates(lambda: entries, criteria)


def failing(report: Report) -> set[Gate]:
    return {result.gate for result in report.results if result.holds is False}


def test_a_good_set_passes_every_gate(good: list[Entry]) -> None:
    report = report_on(good)
    assert failing(report) == set()
    assert report.holds
    assert (report.num_labels, report.num_described, report.num_lines) == (4, 4, 12)
    assert [result.gate for result in report.results] == list(GATES)
    assert report["margin"].holds is None


@pytest.mark.parametrize(
    ("gate", "text", "words"),
    [
        ("names", "a bill like that of a heron", ("heron",)),
        ("comparatives", "a body bigger than usual", ("bigger", "than")),
        ("nonvisual", "a loud, bugling call at dawn", ("loud",)),
        ("length", "feathers " + "of many small colours " * 20, ("90 tokens",)),
    ],
)
def test_a_violation_names_the_line_and_its_words(gate: Gate, text: str, words: tuple[str, ...]) -> None:
    reported: list[Violation] = []
    entries = entries_with("crane", text)
    report = evaluate_gates(lambda: entries, on_violation=reported.append)
    assert failing(report) == {gate}
    (violation,) = report[gate].worst
    assert reported == [violation]
    assert (violation.position, violation.label) == (0, "crane")
    (line,) = violation.lines
    assert (line.id, line.text, line.words) == (entries[0].lines[-1].id, text, words)
    assert report[gate].num_labels == 1


def test_the_nonvisual_share_must_be_below_two_percent() -> None:
    entries = [Entry(f"bird {n}", lines=phrases(f"a crest of {n} plumes", f"a band of {n} rows")) for n in range(50)]
    entries[7] = replace(entries[7], lines=phrases("a crest of 7 plumes", "a loud voice"))
    assert report_on(entries)["nonvisual"].figure == 0.01
    assert report_on(entries)["nonvisual"].holds
    entries[8] = replace(entries[8], lines=phrases("a crest of 8 plumes", "a raucous voice"))
    assert report_on(entries)["nonvisual"].figure == 0.02
    assert not report_on(entries)["nonvisual"].holds


def test_lines_cleared_by_the_judge_model_are_counted_separately() -> None:
    entries = entries_with("crane", "a tail that it likes to wag")
    assert failing(report_on(entries)) == {"nonvisual"}
    report = report_on(entries, GateCriteria(visible_texts={"a tail that it likes to wag"}, judge_model="some-model"))
    assert failing(report) == set()
    assert report["nonvisual"].judged_by == "our word list, then some-model"
    assert report["nonvisual"].details["cleared_by_model"] == 1


def test_a_paraphrase_is_a_shared_attribute() -> None:
    entries = entries_with("crane", instead=["eyebrow stripes in black", "yellow dagger-shaped bills", "a red crown"])
    report = report_on(entries)
    assert failing(report) == {"own", "shared"}  # heron has only one own attribute left
    assert [(one.label, one.note) for one in report["own"].worst] == [
        ("crane", "1 own attribute"),
        ("heron", "1 own attribute"),
    ]
    assert report["shared"].figure == pytest.approx(4 / 12)
    assert report["verbatim"].figure == 0


def test_lines_shared_verbatim_are_counted_by_line_and_label() -> None:
    entries = entries_with("crane", instead=["A black  eyebrow stripe", "a straight orange beak"])
    report = report_on(entries)
    assert report["verbatim"].figure == pytest.approx(4 / 11)
    assert report["verbatim"].details["num_without_own_line"] == 1
    assert [one.label for one in report["verbatim"].worst] == ["crane", "heron", "stork"]
    assert report["verbatim"].worst[0].lines[0].words == ("shared with 1 other label",)


def test_equal_phrases_are_one_attribute_and_a_label_without_lines_has_none() -> None:
    entries = [*entries_with("crane", instead=["a red crown", "red crowns"]), Entry("egret")]
    report = report_on(entries)
    assert failing(report) == {"own"}
    assert [(one.label, one.note) for one in report["own"].worst] == [
        ("egret", "no lines"),
        ("crane", "1 own attribute"),
    ]
    assert (report.num_labels, report.num_described) == (5, 4)


def test_a_sentence_is_split_into_attributes_without_its_own_name() -> None:
    sentences = {
        "crane": "The crane has a red crown, a long neck and a grey back.",
        "heron": "The heron has a long neck, a black eyebrow stripe and a dagger-shaped bill.",
    }
    entries = [Entry(name, lines=(Line("sentence", text),)) for name, text in sentences.items()]
    report = report_on(entries)
    assert report["shared"].figure == pytest.approx(2 / 6)
    assert report["own"].holds


def test_lines_without_letters_are_not_shared() -> None:
    entries = [*entries_with(), *(Entry(f"bird {n}", lines=(Line("sentence", "."),)) for n in range(2))]
    report = report_on(entries)
    assert report["verbatim"].holds
    assert report["twins"].holds
    assert [one.label for one in report["own"].worst] == ["bird 0", "bird 1"]


def test_near_duplicates_are_named_with_their_jaccard() -> None:
    text = "a {} with a black crown, white cheeks, a grey back, long slender legs and a short {} tail"
    entries = [
        *entries_with(),
        *(
            Entry(f"bird {n}", lines=(Line("sentence", text.format(f"bird {n}", word)),))
            for n, word in enumerate(("forked", "square"))
        ),
    ]
    report = report_on(entries)
    assert [(one.label, one.others, one.note) for one in report["twins"].worst] == [
        ("bird 0", ("bird 1",), "word Jaccard 0.88"),
        ("bird 1", ("bird 0",), "word Jaccard 0.88"),
    ]
    assert report_on(entries, GateCriteria(thresholds=Thresholds(twin=0.9)))["twins"].holds


def test_reduced_margins_are_violations_and_confusable_pairs_are_listed(good: list[Entry]) -> None:
    margins = Margins(
        before=np.array([0.3, 0.3, 0.5, 0.5], np.float32),
        after=np.array([0.2, 0.4, 0.5, 0.500001], np.float32),
        nearest_before=np.array([1, 0, 3, 2]),
        nearest_after=np.array([2, 0, 3, 2]),
        teacher="toy",
    )
    report = report_on(good, GateCriteria(margins=margins))
    assert failing(report) == {"margin"}
    (violation,) = report["margin"].worst
    assert (violation.label, violation.others, violation.note) == ("crane", ("stork",), "0.300 before, 0.200 after")
    pairs = [one["labels"] for one in report["margin"].details["most_confusable"]]
    assert pairs == [["crane", "stork"], ["crane", "heron"], ["stork", "ibis"]]
    assert report["margin"].judged_by == "toy"


def test_the_number_of_worst_violations_is_limited() -> None:
    entries = [Entry(f"bird {n}", lines=phrases(*["a loud voice"] * (1 + n % 30))) for n in range(90)]
    result = report_on(entries)["nonvisual"]
    assert result.num_labels == 90
    assert [len(one.lines) for one in result.worst] == sorted([*range(25, 31)] * 3 + [24, 24], reverse=True)
    assert [one.position for one in result.worst[:3]] == [29, 59, 89]


def test_tokens_are_counted_by_the_given_counter(good: list[Entry]) -> None:
    letters = TokenCounter(lambda texts: [len(text) for text in texts], 40, "letters")
    report = report_on(good, GateCriteria(token_counter=letters))
    assert failing(report) == {"length"}
    assert report["length"].judged_by == "letters"
    (crane,) = [one for one in report["length"].worst if one.label == "crane"]
    rendered = "a photo of crane, which has drooping tail plumes"
    assert crane.lines[-1].words == (f"{len(rendered)} tokens",)


def test_should_stop_interrupts_the_evaluation(good: list[Entry]) -> None:
    with pytest.raises(InterruptedError):
        evaluate_gates(lambda: good, should_stop=lambda: True)


def test_a_report_is_serializable(good: list[Entry]) -> None:
    document = json.loads(json.dumps(report_on(entries_with("crane", "a loud call")).as_json()))
    gate = next(one for one in document["gates"] if one["gate"] == "nonvisual")
    assert (gate["holds"], gate["num_labels"], gate["worst"][0]["label"]) == (False, 1, LABELS[0])
    assert gate["worst"][0]["lines"][0]["words"] == ["loud"]


@pytest.mark.parametrize(("name", "share"), [("CaltechBirds", (0.25, 0.29)), ("Flower102", (0.2, 0.28))])
def test_about_a_quarter_of_the_published_sentences_are_nonvisual(name: str, share: tuple[float, float]) -> None:
    folder = SHARED_DATA / "li2023" / name
    if not folder.is_dir():
        pytest.skip(f"the published sentences are not in {folder}")
    rows = read_label2text((folder / "label2text.txt").read_text())
    report = report_on(join_sentences(rows, (folder / "chatgpt.txt").read_text()))
    assert share[0] <= (report["nonvisual"].figure or 0) <= share[1]


def test_the_published_bird_sentences(cub: Path) -> None:
    rows = read_label2text((cub / "label2text.txt").read_text())
    report = report_on(join_sentences(rows, (cub / "chatgpt.txt").read_text()))
    assert report["twins"].figure == 17
    habits = [one for one in join_sentences(rows, (cub / "chatgpt.txt").read_text()) if "unique habit" in one.sentence]
    assert len(habits) == 46
    assert [one.others for one in report["names"].worst] == [("American Crow",)]
    assert report["comparatives"].num_labels == 1


def test_the_published_bird_descriptors() -> None:
    path = SHARED_DATA / "dclip" / "descriptors_cub.json"
    if not path.is_file():
        pytest.skip(f"the published descriptors are not at {path}")
    report = report_on(read_dclip(path.read_text()))
    assert report["verbatim"].figure == pytest.approx(0.71, abs=0.006)
    assert report["verbatim"].details["num_without_own_line"] == 28
    assert (report["shared"].figure or 0) > (report["verbatim"].figure or 0)
    assert failing(report) == {"own", "shared", "verbatim", "twins"}


def test_labels_with_equal_names_are_shown_with_their_sense() -> None:
    margins = Margins(
        before=np.array([0.5, 0.5], np.float32),
        after=np.array([0.1, 0.1], np.float32),
        nearest_before=np.array([1, 0]),
        nearest_after=np.array([1, 0]),
        teacher="toy",
    )
    entries = [Entry("crane", sense, phrases("a tall neck of " + sense, "a hook of " + sense)) for sense in ("a", "b")]
    assert report_on(entries, GateCriteria(margins=margins))["margin"].worst[0].others == (str(Label("crane", "b")),)


def sentences(*texts: str) -> list[Entry]:
    return [Entry(f"bird {n}", lines=(Line("sentence", text),)) for n, text in enumerate(texts)]


GERMAN = sentences(
    "Der Vogel hat eine rote Krone, einen langen Hals und graue Flügel.",
    "Der Vogel hat einen schwarzen Streifen über dem Auge und einen spitzen Schnabel.",
    "Der Vogel hat weiße Schultern, lange rote Beine und einen geraden Schnabel.",
)


def test_gates_with_english_words_do_not_judge_other_languages() -> None:
    report = report_on(GERMAN)
    statuses = {result.gate: result.status for result in report.results}
    assert [gate for gate, status in statuses.items() if status == "not_judged"] == [
        "comparatives",
        "nonvisual",
        "own",
        "shared",
    ]
    assert [gate for gate, status in statuses.items() if status == "holds"] == [
        "length",
        "meta",
        "names",
        "verbatim",
        "twins",
    ]
    assert (report.holds, report.status, dict(report.languages)) == (True, "not_judged", {"de": 3})
    gate = report["nonvisual"]
    assert (gate.figure, gate.holds, gate.num_not_judged) == (None, None, 3)
    assert gate.judged_by == "not judged: the lines are in German, and the gate compares English words"


def test_gates_without_word_lists_judge_every_language() -> None:
    entries = [*GERMAN, *sentences("Der Vogel hat eine rote Krone, einen langen Hals und graue Flügel.")]
    report = report_on(entries)
    assert {"verbatim", "twins"} <= failing(report)
    assert report.status == "fails"
    refusal = sentences("Es tut mir leid, aber ich kann diesen Vogel nicht beschreiben.")
    assert failing(report_on([*GERMAN, *refusal])) == {"meta"}


def test_the_english_lines_of_a_mixed_set_are_judged(good: list[Entry]) -> None:
    report = report_on([*good, *GERMAN])
    assert dict(report.languages) == {"en": 12, "de": 3}
    assert (report["nonvisual"].status, report["nonvisual"].num_not_judged) == ("holds", 3)
    assert report["nonvisual"].judged_by.endswith("; not judged: 3 lines in German")
    assert report["own"].status == "holds"
    assert report["shared"].details["num_attributes"] == 12
    entries = [*entries_with("crane", "a loud call"), *GERMAN]
    assert report_on(entries)["nonvisual"].figure == pytest.approx(1 / 13)


@pytest.mark.parametrize(("language", "status"), [("de", "not_judged"), ("English", "holds"), (None, "holds")])
def test_a_stated_language_decides(language: str | None, status: str, good: list[Entry]) -> None:
    report = report_on(good, GateCriteria(language=language))
    assert (report["nonvisual"].status, report.status) == (status, status)


def test_a_set_in_a_language_without_known_refusals_is_not_judged_for_them() -> None:
    entries = sentences("ჩიტს აქვს გრძელი ყვითელი ნისკარტი.", "ჩიტს აქვს შავი ფრთები და წითელი ფეხები.")
    assert report_on(entries)["meta"].status == "not_judged"
    assert report_on([*entries, *sentences("N/A")])["meta"].status == "fails"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Unusable response produced, maybe login session expired.", "an error message"),
        ("I'm sorry, but I cannot describe a crane.", "a refusal"),
        ("N/A", "a placeholder"),
        ("Sure! Here is a description of a crane.", "talk about the task"),
    ],
)
def test_lines_that_are_no_description_are_named_with_their_kind(text: str, kind: str) -> None:
    report = report_on(entries_with("crane", text))
    assert "meta" in failing(report)
    (violation,) = report["meta"].worst
    assert [(line.text, line.words) for line in violation.lines] == [(text, (kind,))]


@pytest.mark.parametrize(
    ("text", "words"), [("It is a seabird.", "is a seabird"), ("They live in flocks", "live in"), ("It is blue.", None)]
)
def test_statements_about_something_else_are_nonvisual(text: str, words: str | None) -> None:
    gate = report_on(entries_with("crane", text))["nonvisual"]
    assert [line.words for one in gate.worst for line in one.lines] == ([(words,)] if words else [])


def test_names_and_near_duplicates_are_found_without_spaces_between_words() -> None:
    texts = {
        "丹顶鹤": "这种鸟有红色的头顶、白色的身体和黑色的颈部，不像苍鹭。",
        "苍鹭": "这种鸟有灰色的翅膀、黄色的长喙和黑色的眉纹。",
        "白鹭": "这种鸟有灰色的翅膀、黄色的长喙和黑色的眼纹。",
    }
    report = report_on([Entry(name, lines=(Line("sentence", text),)) for name, text in texts.items()])
    assert [(one.label, one.others) for one in report["names"].worst] == [("丹顶鹤", ("苍鹭",))]
    assert [(one.label, one.others) for one in report["twins"].worst] == [("苍鹭", ("白鹭",)), ("白鹭", ("苍鹭",))]
    assert report["nonvisual"].status == "not_judged"
