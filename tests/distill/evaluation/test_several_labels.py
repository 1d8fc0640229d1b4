"""Images with several labels are measured by mAP everywhere: after epochs, in checkpoints and with int8 weights."""

from pathlib import Path

import pytest
import torch

from distill.data.image_index import ImageIndex, Item
from distill.data.splits import LABEL_SET
from distill.evaluation.accuracy import last_epochs
from distill.evaluation.epochs import measure_epochs
from distill.evaluation.multi_label.measure import MultiLabel
from distill.evaluation.onnx_inputs import OnnxImages
from distill.hooks import PipelineHooks
from distill.pipeline import MeasureOptions, measure_student
from distill.student.model import Student, build_student
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets
from tests.distill.helpers_train import small_config


@pytest.fixture
def several(image_index: ImageIndex) -> ImageIndex:
    """Each second held-out image shows both seen labels, and each second OOD image a seen label too."""
    seen = image_index.id_labels

    def labels(at: int, item: Item) -> tuple[int, ...]:
        if at % 2 or item.part == "train":
            return (item.label,)
        return seen if item.part == "held_out" else tuple(sorted((seen[0], item.label)))

    items = [item._replace(label=LABEL_SET, labels=labels(at, item)) for at, item in enumerate(image_index)]
    return ImageIndex.of(image_index.root, image_index.labels, items)


@pytest.fixture
def student() -> Student:
    built = build_student("test_resnet", width=32, image_px=32, seed=0)
    built.model.eval()
    return built


def final(student: Student, several: ImageIndex, targets: TextTargets, cache: Path) -> MultiLabel:
    options = MeasureOptions(temperature=0.07, device="cpu", num_workers=1)
    found = measure_student(student, several, targets, "names", options, cache=cache).multi_label
    assert found is not None
    return found


def test_the_int8_encoder_is_measured_as_the_student_is(
    student: Student, several: ImageIndex, targets: TextTargets, tmp_path: Path
) -> None:
    images = OnnxImages(
        student=student,
        image_index=several,
        targets=targets,
        cache=tmp_path,
        num_workers=1,
        hooks=PipelineHooks(),
    )

    def encode(batch: object) -> object:
        with torch.no_grad():
            return torch.nn.functional.normalize(student.model(torch.from_numpy(batch)), dim=-1).numpy()  # type: ignore[arg-type]

    found = images.measure({"float32": encode, "int8": lambda batch: -encode(batch)})  # type: ignore
    expected = final(student, several, targets, tmp_path)
    for part, measured in (("id", expected.id), ("ood", expected.ood)):
        assert measured is not None
        assert found[part]["float32"] == pytest.approx(measured.mean_ap)
        assert found[part]["num_images"] == measured.num_images
        assert found[part]["int8"] != pytest.approx(measured.mean_ap)


def test_epochs_and_checkpoints_are_measured_as_the_student_is(
    student: Student, several: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    config = small_config(losses={"cls": 0, "bce": 1}, epochs=2, measured_epochs=1, image_px=32)
    epochs = measure_epochs(config, several, tiny_teacher, targets, "names", cache=tmp_path)
    expected = final(student, several, targets, tmp_path)
    assert epochs(1, student, None) is None
    line = epochs(2, student, None)
    assert line is not None
    assert expected.id is not None
    assert expected.ood is not None
    assert expected.joint is not None
    seen, unseen = expected.joint.id_mean_ap, expected.joint.ood_mean_ap
    means = {"id": expected.id.mean_ap, "ood": expected.ood.mean_ap}
    harmonic_mean = 2 * seen * unseen / (seen + unseen)
    assert line["measure"] == "mean_ap"
    assert line["accuracy"] == pytest.approx({**means, "harmonic_mean": harmonic_mean})
    mean = last_epochs([{"step": 4, "epoch": 2, **line}], 1)
    assert mean is not None
    assert mean.ood_accuracy == line["accuracy"]["ood"]
    held_out = epochs.held_out(student, None)
    assert held_out.multi_label is not None
    assert held_out.multi_label.ood is None
    assert held_out.multi_label.id is not None
    assert held_out.multi_label.id.per_label == expected.id.per_label
