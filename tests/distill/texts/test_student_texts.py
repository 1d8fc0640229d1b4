"""Texts of a student: caption features, unseen labels only if configured, unit vectors for the closed-set baseline."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.config.train_config import TrainConfig
from distill.data.few_shot import FewShotError, support_rows
from distill.data.image_index import ImageIndex
from distill.evaluation.epochs import measure_epochs
from distill.pipeline import MeasureOptions, measure_student, measure_teacher, training_data
from distill.student.model import build_student
from distill.teacher.teacher import Teacher
from distill.texts.student_texts import evaluation_inputs
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import TextsError
from distill.training.hooks import TrainHooks
from distill.training.loop import train
from distill.training.metrics import StepMetrics
from tests.distill.examples import LABELS
from tests.distill.helpers_train import small_config


def config(**overrides: object) -> TrainConfig:
    return small_config(num_workers=2, epochs=1, **overrides)


def test_images_with_captions_get_caption_features(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    rows = image_index.part("train")
    given = {image_index.paths[row]: f"a bird, number {row}" for row in rows[:9]}
    (tmp_path / "set.json").write_text(json.dumps(given))
    train_config = config(losses={"cap": 1})
    options = {"cache": tmp_path / "cache", "captions": tmp_path / "set.json"}
    data = training_data(train_config, image_index, tiny_teacher, targets, **options)
    assert data.captions is not None
    assert data.captioned is not None
    assert data.captioned.tolist() == [at < 9 for at in range(12)]
    own = tiny_teacher.encode_text([f"a bird, number {rows[3]}"])[0]
    torch.testing.assert_close(data.captions[3], own, atol=1e-5, rtol=1e-5)
    steps: list[StepMetrics] = []
    train(train_config, data, hooks=TrainHooks(on_step=steps.append))
    assert steps[-1].losses["cap"] > 0
    (tmp_path / "set.json").write_text(json.dumps(given | {image_index.paths[rows[0]]: "another"}))
    assert training_data(train_config, image_index, tiny_teacher, targets, **options).digests != data.digests
    assert "captions" not in training_data(config(), image_index, tiny_teacher, targets, **options).digests


def test_dataset_without_captions_is_an_error(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    with pytest.raises(TextsError, match="none of 12 images has a caption"):
        training_data(config(losses={"cap": 1}), image_index, tiny_teacher, targets, cache=tmp_path / "cache")


def test_texts_of_unseen_labels_are_used_only_by_the_term_unseen(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    cache = {"cache": tmp_path / "cache"}
    assert training_data(config(), image_index, tiny_teacher, targets, **cache).unseen is None
    train_config = config(losses={"unseen": 0.5}, context_tokens=2)
    data = training_data(train_config, image_index, tiny_teacher, targets, **cache)
    assert data.unseen is not None
    assert torch.equal(data.unseen, targets.features[[0, 2]])
    assert len(data.usable) == 12
    steps: list[StepMetrics] = []
    result = train(train_config, data, hooks=TrainHooks(on_step=steps.append))
    assert steps[-1].losses["unseen"] > 0
    assert result.context is not None
    assert result.context.shape == (2, 16)
    bare = ImageIndex.of(image_index.root, LABELS, (item for item in image_index if item.part != "ood"))
    with pytest.raises(TextsError, match="there are no unseen labels"):
        training_data(train_config, bare, tiny_teacher, targets, **cache)


def test_few_shot_images_are_trained_on_and_not_evaluated(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    cache = {"cache": tmp_path / "cache"}
    train_config = config(protocol="fine_tune", shots=3)
    broken = image_index.file(support_rows(image_index, 3)[1])
    broken.write_bytes(b"not an image")
    data = training_data(train_config, image_index, tiny_teacher, targets, **cache)
    assert len(data.pixels) == 12 + 6
    assert data.few.tolist() == [12, 14, 15, 16, 17]
    assert torch.equal(data.texts, targets.features[[1, 3, 0, 2]])
    assert data.labels[12:].tolist() == [2, 2, 2, 3, 3, 3]
    assert data.unseen is None
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    measured = measure_student(
        student, image_index, targets, "names", MeasureOptions(temperature=0.07, shots=3), **cache
    )
    teacher = measure_teacher(tiny_teacher, image_index, targets, "names", shots=3, **cache)
    for evaluation in (measured, teacher):
        assert evaluation.ood is not None
        assert evaluation.ood.num_images == 16 - 6
    with pytest.raises(FewShotError, match='"blue jay" has 8'):
        training_data(config(protocol="fine_tune", shots=8), image_index, tiny_teacher, targets, **cache)


def test_student_is_evaluated_by_retrieval_and_by_texts(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    cache = {"cache": tmp_path / "cache", "teacher": tiny_teacher}
    options = MeasureOptions(temperature=0.07, shots=2)
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    plain = measure_student(student, image_index, targets, "names", options, **cache)
    both = measure_student(student, image_index, targets, "names", replace(options, retrieve=True), **cache)
    assert plain.retrieval is None
    assert both.retrieval is not None
    assert both.ood == plain.ood
    assert both.retrieval.num_images == 12
    assert both.retrieval.num_labels == 2


def test_too_many_shots_are_refused_before_training(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    with pytest.raises(FewShotError, match="8 shots"):
        training_data(
            config(protocol="retrieval", shots=8), image_index, tiny_teacher, targets, cache=tmp_path / "cache"
        )
    data = training_data(
        config(protocol="retrieval", shots=2), image_index, tiny_teacher, targets, cache=tmp_path / "c"
    )
    assert len(data.few) == 0
    assert len(data.usable) == 12


def test_closed_set_baseline_is_trained_and_evaluated_on_id_labels_only(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    train_config = config(protocol="closed_set", measured_epochs=1)
    cache = {"cache": tmp_path / "cache"}
    data = training_data(train_config, image_index, tiny_teacher, targets, **cache)
    assert torch.equal(data.texts, torch.eye(2))
    on_epoch = measure_epochs(train_config, image_index, tiny_teacher, targets, "names", **cache)
    steps: list[StepMetrics] = []
    result = train(train_config, data, hooks=TrainHooks(on_step=steps.append, on_epoch=on_epoch))
    assert set(steps[0].losses) == {"closed_set"}
    assert result.student.width == 2
    known, classes = evaluation_inputs(train_config, image_index, None, targets, None)
    measured = measure_student(result.student, known, classes, "names", MeasureOptions(temperature=0.07), **cache)
    assert measured.ood is measured.joint is None
    assert measured.id is not None
    assert set(measured.id.per_label) == {"crane", "red finch"}
    assert result.log[-1]["accuracy"]["id"] == pytest.approx(measured.id.accuracy)


def test_evaluation_inputs_include_learned_vectors(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher
) -> None:
    context = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32))
    same, unchanged = evaluation_inputs(config(), image_index, None, targets, None)
    assert (same, unchanged) == (image_index, targets)
    _, learned = evaluation_inputs(config(context_tokens=2), image_index, tiny_teacher, targets, context)
    assert learned.context is not None
    assert not torch.allclose(learned.features, targets.features, atol=1e-2)
