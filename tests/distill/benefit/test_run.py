"""The proof of benefit: controls that are controls, gains by plain formulas, a verdict that says what they say."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from distill.benefit.__main__ import main
from distill.benefit.arms import build_arms
from distill.benefit.charts import markdown_table
from distill.benefit.metrics import EvaluationImages, Gain, bootstrap_gain, label_gains, measure_hits, verdict
from distill.benefit.phrase_filter import class_prototypes, contradicted_phrases, drop_phrases
from distill.benefit.run import measure_benefit
from distill.benefit.waffle import shuffle_phrases, waffle_phrases
from distill.data.image_index import SPLIT, ImageIndex, scan
from distill.pipeline import NoImages
from distill.teacher.teacher import Teacher
from distill.texts.text_templates import LabelAttributes

LABELS = ("blue jay", "crane", "heron", "red finch")
SAID = [LabelAttributes(f"A {label} with a tail.", (f"a {label} tail", "a beak", "two legs")) for label in LABELS]
SPLIT_BY_LIST = {"by": "list", "id": ["red finch", "crane"], "ood": ["blue jay", "heron"], "held_out": 0.25}


def test_a_control_has_as_many_texts_and_none_of_the_words() -> None:
    drawn = waffle_phrases(SAID, 0)
    assert [len(one.phrases) for one in drawn] == [3, 3, 3, 3]
    told = " ".join(phrase for one in drawn for phrase in one.phrases).split()
    assert not {"tail", "beak", "legs", "crane"} & set(told)
    assert drawn == waffle_phrases(SAID, 0) != waffle_phrases(SAID, 1)
    assert len({one.phrases for one in drawn}) == 4


def test_shuffled_phrases_are_all_there_and_none_is_where_it_belongs() -> None:
    for seed in range(5):
        given = shuffle_phrases(SAID, seed)
        assert sorted(one.phrases for one in given) == sorted(one.phrases for one in SAID)
        assert all(mine.phrases != own.phrases for mine, own in zip(given, SAID, strict=True))


def test_every_way_of_telling_is_there() -> None:
    ways = {way.name: way for way in build_arms(LABELS, SAID, concept="bird", seeds=range(3))}
    assert list(ways) == [
        "names",
        "names, concept",
        "waffle",
        "waffle, concept",
        "phrases of another label",
        "sentence",
        "phrases",
        "phrases_joined",
        "all",
        "sentence, concept",
        "phrases, concept",
        "phrases_joined, concept",
        "all, concept",
        "sentence, no name",
        "phrases, no name",
        "phrases_joined, no name",
        "all, no name",
    ]
    assert [len(ways[name].drawn) for name in ("names", "waffle", "phrases")] == [1, 3, 1]
    assert "crane" not in " ".join(text for texts in ways["all, no name"].drawn[0] for text in texts)
    assert ways["names, concept"].drawn[0][1] == ("a photo of crane, a type of bird",)
    assert [way.name for way in build_arms(LABELS, [LabelAttributes("Red.")] * 4) if way.role == "attributes"] == [
        "sentence"
    ]
    with pytest.raises(ValueError, match="says nothing of any label"):
        build_arms(LABELS, [LabelAttributes()] * 4)


def test_hits_and_gains_are_those_of_plain_loops() -> None:
    random = np.random.default_rng(0)
    features, labels = torch.randn(60, 8), random.choice([1, 2, 4], size=60)
    targets = [torch.randn(5, 8) for _ in range(2)]
    found = measure_hits(EvaluationImages(features=features, labels=labels, subset=(1, 2, 4)), targets)
    shares = []
    for row, label in zip(features.double(), labels, strict=True):
        right = 0
        for texts in targets:
            cosines = {at: float(row @ texts[at].double() / texts[at].double().norm()) for at in (1, 2, 4)}
            right += max(cosines, key=cosines.__getitem__) == label
        shares.append(right / 2)
    assert found.shares.tolist() == shares
    per_label = {at: np.mean([s for s, label in zip(shares, labels, strict=True) if label == at]) for at in (1, 2, 4)}
    assert np.mean(found.draws) == pytest.approx(np.mean(list(per_label.values())))
    nothing = measure_hits(EvaluationImages(features=features, labels=labels, subset=(1, 2, 4)), [torch.zeros(5, 8)])
    over = bootstrap_gain(found.shares - nothing.shares, labels)
    named = label_gains(found, nothing, labels, [f"label {at}" for at in range(5)])
    assert over.mean == pytest.approx(np.mean(list(named.values())))
    assert list(named.values()) == sorted(named.values(), reverse=True)


def test_an_interval_has_the_width_of_the_formula() -> None:
    labels = np.repeat(np.arange(40), 50)
    values = np.random.default_rng(1).choice([-1.0, 0.0, 1.0], p=[0.1, 0.5, 0.4], size=len(labels))
    over = bootstrap_gain(values, labels)
    error = values.std() / np.sqrt(len(values))
    assert over.mean == pytest.approx(values.mean())
    assert (over.images[1] - over.images[0]) / 2 == pytest.approx(1.96 * error, rel=0.15)
    assert over.labels[1] - over.labels[0] > over.images[1] - over.images[0]
    assert bootstrap_gain(np.zeros(len(labels)), labels) == Gain(mean=0.0, images=(0.0, 0.0), labels=(0.0, 0.0))


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(0.01, 0.2, "help beyond Waffle"), (-0.1, 0.2, "cannot be said"), (-0.2, -0.01, "do harm")],
)
def test_the_verdict_is_what_the_interval_says(low: float, high: float, says: str) -> None:
    said = verdict("phrases", "ood", Gain(mean=(low + high) / 2, images=(low, high), labels=(low, high)))
    assert says in said
    assert f"{100 * low:+.1f} to {100 * high:+.1f}" in said


def test_a_phrase_that_the_images_deny_is_left_out_and_the_best_two_stay() -> None:
    axis = torch.eye(4)
    seen = {0: axis[0], 2: axis[1]}
    right, wrong = normalize(axis[0] + axis[3], dim=-1), normalize(axis[1] + axis[0] / 2, dim=-1)
    names = torch.stack([normalize(axis[0] + axis[1] / 2, dim=-1)] * 3)
    told = {0: torch.stack([right, wrong, right, right]), 1: torch.stack([wrong] * 3), 2: torch.stack([right] * 3)}
    assert contradicted_phrases(seen, names, told) == {0: [1], 2: [2]}
    assert contradicted_phrases({0: axis[0]}, names, told) == {}
    assert drop_phrases([("a", "b", "c"), ("d",)], {0: [1]}) == [("a", "c"), ("d",)]
    means = class_prototypes(torch.stack([axis[0], 3 * axis[0], axis[1]]), np.array([5, 5, 7]))
    assert sorted(means) == [5, 7]
    torch.testing.assert_close(means[5], axis[0])


@pytest.fixture
def image_index(tmp_path: Path, make_pictures: Callable[..., list[Path]]) -> ImageIndex:
    for at, label in enumerate(LABELS):
        make_pictures(tmp_path / "images" / label.replace(" ", "_"), 8, seed=at)
    return scan(tmp_path / "images", LABELS, SPLIT.validate_python(SPLIT_BY_LIST))


def test_a_proof_of_both_parts(image_index: ImageIndex, tiny_teacher: Teacher, tmp_path: Path) -> None:
    proof = measure_benefit(tiny_teacher, image_index, SAID, cache=tmp_path / "cache", filter_phrases=True)
    assert proof.num_images == {"id": 4, "ood": 16}
    by_name = {arm.name: arm for arm in proof.arms}
    waffle_ood = by_name["waffle"].ood
    assert waffle_ood is not None
    assert len(waffle_ood.draws) == 3
    assert waffle_ood.over_control is None
    chosen = by_name[proof.chosen]
    assert chosen.id is not None
    assert chosen.id.accuracy == max(arm.id.accuracy for arm in proof.arms if arm.role == "attributes" and arm.id)
    assert set(proof.label_gains["ood"]["names"]) == {"blue jay", "heron"}
    assert proof.filtered is not None
    assert proof.filtered.refused or set(proof.filtered.dropped) <= {1, 3}
    said = json.loads(json.dumps(proof.as_json()))
    assert f"**{proof.chosen}**" in markdown_table(said)
    assert proof == measure_benefit(tiny_teacher, image_index, SAID, cache=tmp_path / "cache", filter_phrases=True)


def test_nothing_to_measure_on_is_refused(image_index: ImageIndex, tiny_teacher: Teacher, tmp_path: Path) -> None:
    for path in (tmp_path / "images").rglob("*.*"):
        path.write_bytes(b"no image")
    with pytest.raises(NoImages):
        measure_benefit(tiny_teacher, image_index, SAID, cache=tmp_path / "cache")


def test_the_command(
    image_index: ImageIndex, tiny_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    phrases = {label: list(one.phrases) for label, one in zip(LABELS, SAID, strict=True)}
    (tmp_path / "set.json").write_text(json.dumps(phrases))
    given = [
        "--images", str(tmp_path / "images"), "--labels", str(tmp_path / "labels.txt"),
        "--attributes", str(tmp_path / "set.json"), "--teacher", f"local-dir:{tiny_clip}",
        "--split", json.dumps(SPLIT_BY_LIST), "--out", str(tmp_path / "proof"),
    ]  # fmt: skip
    assert main(given) == 0
    assert "| phrases" in capsys.readouterr().out.replace("**", "")
    assert (tmp_path / "proof" / "proof.png").read_bytes().startswith(b"\x89PNG")
    given[3] = str(tmp_path / "missing.txt")
    assert main(given) == 2
    assert "missing.txt cannot be read" in capsys.readouterr().err
