"""Assignment of the entries of a file to the labels of a vocabulary."""

from pathlib import Path

import pytest

from limbeck.shared.attribute_files.json_documents import parse_json
from limbeck.shared.attribute_files.label2text import read_rows
from limbeck.shared.attribute_files.label_texts import read_label_texts
from limbeck.shared.attribute_files.matching import Assignment, LabelMap, Rule, assign, rename
from limbeck.shared.attribute_files.reading import Reading
from limbeck.shared.labels import LabelPair

LABELS: list[LabelPair] = [
    ("heron", None),
    ("crane", "bird"),
    ("crane", "machine"),
    ("hot dog", None),
    ("red fox", None),
]


def assigned(*names: str, mapping: LabelMap | None = None) -> Assignment:
    return assign([(name, None) for name in names], LABELS, mapping)


def rules(assignment: Assignment) -> dict[int, tuple[tuple[int, ...], Rule]]:
    return {one.entry: (one.labels, one.rule) for one in assignment.matched}


def test_entries_match_exactly_by_normalisation_or_as_shared_senses() -> None:
    found = assigned("Heron", "crane", "Hot-Dog")
    assert rules(found) == {0: ((0,), Rule.EXACT), 1: ((1, 2), Rule.SHARED), 2: ((3,), Rule.NORMALIZED)}
    assert (found.entry_of, found.num_faults) == ([0, 1, 1, 2, None], 0)


def test_a_sense_with_its_own_entry_does_not_take_the_shared_one() -> None:
    found = assigned("crane", "crane (bird)")
    assert found.entry_of[1:3] == [1, 0]
    assert rules(found) == {0: ((2,), Rule.SHARED), 1: ((1,), Rule.EXACT)}


def test_no_entry_is_lost_silently() -> None:
    found = assigned("hot dog", "hotdog", "Red_Fox", "red-fox", "herons", "zebra")
    details = [detail for _, detail in found.faults]
    assert found.num_faults == 5
    assert found.entry_of == [None, None, None, 0, None]
    assert 'label "hotdog" and "hot dog" are both about "hot dog"; name one in the map' in details
    assert 'label "Red_Fox" and "red-fox" are both about "red fox"; name one in the map' in details
    assert 'label "herons" is not in the vocabulary; near: "heron"' in details
    assert 'label "zebra" is not in the vocabulary' in details


def test_the_map_comes_first() -> None:
    mapping: LabelMap = {"herons": "heron", "crane": "crane (machine)", "wurst": ["hot dog", "red fox"], "zebra": None}
    found = assigned("herons", "crane", "wurst", "zebra", mapping=mapping)
    assert {one.rule for one in found.matched} == {Rule.MAP}
    assert (found.entry_of, found.left_out, found.num_faults) == ([0, None, 1, 2, 2], [3], 0)


def test_a_wrong_map_is_a_fault() -> None:
    found = assigned("heron", mapping={"heron": "herron", "emu": "heron"})
    assert [detail for _, detail in found.faults] == [
        'the map gives "heron" an unknown label "herron" is not in the vocabulary; near: "heron"',
        'the map names "emu", which is not a label of the file',
    ]


def test_a_map_renames_the_labels_of_a_new_vocabulary() -> None:
    entries: list[LabelPair] = [("n02012849", None), ("ibis", None), ("x", None)]
    assert rename(entries, {"n02012849": "crane (bird)", "x": None}) == ([("crane", "bird"), ("ibis", None), None], [])
    assert rename(entries, {"y": "z", "ibis": ["a", "b"]})[1] == [
        'the map names "y", which is not a label of the file',
        'the map gives "ibis" a list; a new vocabulary takes one label per entry',
    ]


def test_the_published_descriptors_of_cub_match_the_labels_of_the_paper(cub: Path, dclip_cub: Path) -> None:
    rows = read_rows((cub / "label2text.txt").read_text(), Reading())
    reading = Reading()
    found = read_label_texts(parse_json(dclip_cub.read_text(), reading), reading)
    assignment = assign([(one.name, one.sense) for one in found], [(row.name, row.sense) for row in rows])
    assert (assignment.num_faults, None in assignment.entry_of) == (0, False)
    assert [len(assignment.of_rule(rule)) for rule in Rule] == [0, 143, 57, 0]
    assert len(set(assignment.entry_of)) == len(rows) == 200


@pytest.mark.slow
def test_a_large_vocabulary_is_matched_in_seconds() -> None:
    labels: list[LabelPair] = [(f"word{i % 997} thing{i}", None) for i in range(4_000)]
    found = assign([(f"Word{i % 997}-Thing{i}", None) for i in range(0, 8_000, 2)], labels)
    assert (len(found.matched), found.num_faults, len(found.faults)) == (2_000, 2_000, 20)
