"""Values of documents: lists, maps, and the lists inside the files of data sets and models."""

import json
from typing import Any

import pytest

from tests.limbeck.shared.label_files.reading import ids, names, read, refusal

VALUES: list[tuple[Any, list[str]]] = [
    ({"0": "tench", "1": "goldfish"}, ["tench", "goldfish"]),
    ({"1": "goldfish", "0": "tench"}, ["tench", "goldfish"]),
    ({"tench": 0, "goldfish": 1}, ["tench", "goldfish"]),
    ({"goldfish": "1", "tench": "0"}, ["tench", "goldfish"]),
    ({"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}, ["tench", "goldfish"]),
    ({"n01440764": "tench, Tinca tinca", "n01443537": "goldfish"}, ["tench", "goldfish"]),
    ({"tench": "n01440764", "goldfish": "n01443537"}, ["tench", "goldfish"]),
    ({"n01440764": ["tench", "Tinca tinca"], "n01443537": ["goldfish"]}, ["tench", "goldfish"]),
    ({"0": {"name": "tench"}, "1": {"name": "goldfish"}}, ["tench", "goldfish"]),
    ({"tench": {"id": 0, "wnid": "n01440764"}, "goldfish": {"id": 1, "wnid": "n01443537"}}, ["tench", "goldfish"]),
    ([["n01440764", "tench"], ["n01443537", "goldfish"]], ["tench", "goldfish"]),
    ([["id", "name"], [1, "tench"], [2, "goldfish"]], ["tench", "goldfish"]),
    ([["tench", "Tinca tinca"], ["goldfish"]], ["tench", "goldfish"]),
    ([["tench"], ["goldfish"]], ["tench", "goldfish"]),
    ([{"0": "tench"}, {"1": "goldfish"}], ["tench", "goldfish"]),
    (["0: tench", "1: goldfish"], ["tench", "goldfish"]),
    (["n01440764 tench", "n01443537 goldfish"], ["tench", "goldfish"]),
    (["crane", {"name": "heron", "sense": "bird"}], ["crane", "heron|bird"]),
    ({"labels": ["tench", "goldfish"]}, ["tench", "goldfish"]),
    ({"names": {"0": "tench", "1": "goldfish"}, "nc": 2}, ["tench", "goldfish"]),
    ({"label2id": {"tench": 1, "goldfish": 0}}, ["goldfish", "tench"]),
    ({"classes": ["a b", "c d"], "class_to_idx": {"a b": 0, "c d": 1}}, ["a b", "c d"]),
    ({"features": {"image": {}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}, ["cat", "dog"]),
    ({"default": {"features": {"label": {"names": ["cat", "dog"]}}}}, ["cat", "dog"]),
    ({"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat", "supercategory": "pet"}]}, ["cat"]),
    ({"format": "x", "entries": [{"label": "crane", "sense": "bird", "lines": []}]}, ["crane|bird"]),
    ({"object": "list", "data": [{"position": 0, "name": "crane", "sense": None}]}, ["crane"]),
    ({"name": "cat", "id": 3}, ["cat"]),
    ([{"label": "cat", "id": "x9"}, {"label": "dog", "id": "x3"}], ["cat", "dog"]),
    ([{"class": 0, "text": "cat"}, {"class": 1, "text": "dog"}], ["cat", "dog"]),
    ({"cat": 1300, "dog": 732}, ["cat", "dog"]),
]


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: json.dumps(value)[:60])
def test_labels_of_values(value: Any, expected: list[str]) -> None:
    assert names(json.dumps(value)) == expected


def test_a_whole_config_of_a_model() -> None:
    names_of = {"1": "goldfish, Carassius auratus", "0": "tench, Tinca tinca"}
    config = {"model_type": "vit", "id2label": names_of, "label2id": {"LABEL_0": 0, "LABEL_1": 1}, "hidden_size": 768}
    found = read(json.dumps(config), "config.json")
    assert [(label.name, label.ids) for label in found.labels] == [
        ("tench", {"index": "0", "aliases": ["Tinca tinca"]}),
        ("goldfish", {"index": "1", "aliases": ["Carassius auratus"]}),
    ]
    assert found.warnings == ['"label2id" has other labels than "id2label", which was taken']
    assert 'the labels are in "id2label"' in found.notes
    assert "placeholder" in refusal('{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}')


def test_ids_of_a_coco_file_are_kept_and_gaps_reported() -> None:
    categories = [
        {"supercategory": "vehicle", "id": 3, "name": "car"},
        {"supercategory": "p", "id": 1, "name": "person"},
    ]
    found = read(json.dumps({"info": {}, "categories": categories}))
    assert [(label.name, label.ids) for label in found.labels] == [("person", {"id": "1"}), ("car", {"id": "3"})]
    assert found.warnings == ["the id has gaps (1 number missing: 2)"]
    assert 'dropped: column "supercategory" (such as "vehicle")' in found.notes
    common = [{"id": 0, "name": "Lumbricus terrestris", "common_name": "earthworm", "class": "Clitellata"}]
    assert ids(json.dumps(common)) == [{"id": "0", "aliases": ["earthworm"]}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "has an empty list"),
        ({}, "is an empty object"),
        (7, "every label is a number"),
        ([1, 2], "every label is a number"),
        (["a", None], "has null at position 1"),
        (["a", True], "has true at position 1"),
        ([["a"], []], "an empty list at position 1"),
        ({"0": 1, "1": 2}, "values that are not names"),
        ({"cat": ["fur", "tail"], "dog": ["fur"]}, "these are attributes"),
        ({"cat": "animal", "car": "vehicle"}, "maps texts to texts"),
        ({"train": {"a": {}}, "version": 2}, "none of which has a list of labels"),
        ({"f": {"fine": {"names": ["a", "b"]}, "coarse": {"names": ["c"]}}}, "has several lists of labels"),
    ],
)
def test_values_without_labels_are_refused(value: Any, message: str) -> None:
    refused = refusal(json.dumps(value))
    assert message in refused
    assert "\n" not in refused
