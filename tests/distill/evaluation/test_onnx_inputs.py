"""The images that ONNX encoders are quantised with and measured on are those of the student, prepared as for it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distill import Stopped
from distill.bundle.onnx.files import Encode
from distill.bundle.onnx.int8 import Batch
from distill.data.image_index import ImageIndex
from distill.evaluation import onnx_inputs
from distill.evaluation.onnx_inputs import OnnxImages
from distill.hooks import PipelineHooks
from distill.pipeline import MeasureOptions, measure_student
from distill.student.model import build_student
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import PromptOptions
from limbeck.shared.images.decode import open_rgb


@pytest.fixture
def images(image_index: ImageIndex, targets: TextTargets, tmp_path: Path) -> OnnxImages:
    student = build_student("test_resnet", width=32, image_px=32, seed=0)
    student.model.eval()
    return OnnxImages(
        student=student,
        image_index=image_index,
        targets=targets,
        cache=tmp_path / "cache",
        num_workers=1,
        hooks=PipelineHooks(),
    )


def torch_encoder(images: OnnxImages) -> Encode:
    def encode(batch: Batch) -> Batch:
        with torch.no_grad():
            features = images.student.model(torch.from_numpy(batch))
        embedding: Batch = torch.nn.functional.normalize(features, dim=-1).numpy()
        return embedding

    return encode


def both(encode: Encode) -> Mapping[str, Encode]:
    return {"float32": encode, "int8": lambda batch: -encode(batch)}


def test_the_accuracy_of_the_same_encoder_is_that_of_the_evaluation(images: OnnxImages, targets: TextTargets) -> None:
    measured = measure_student(
        images.student,
        images.image_index,
        targets,
        "names",
        MeasureOptions(temperature=0.07, device="cpu", num_workers=1),
        cache=images.cache,
    )
    assert measured.id is not None
    assert measured.ood is not None
    found = images.measure(both(torch_encoder(images)))
    assert [found[part]["float32"] for part in ("id", "ood")] == [measured.id.accuracy, measured.ood.accuracy]
    assert [found[part]["num_images"] for part in ("id", "ood")] == [measured.id.num_images, measured.ood.num_images]
    assert found["id"]["int8"] == 1 - found["id"]["float32"]  # two labels, and the opposite features


def test_calibration_images_are_training_images_prepared_for_the_student(
    images: OnnxImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_inputs, "NUM_CALIBRATION_IMAGES", 5)
    batch = np.concatenate(list(images.calibration()))
    assert batch.shape == (5, 3, 32, 32)
    first = open_rgb(images.image_index.file(images.image_index.part("train")[0]).read_bytes()).resize((32, 32), 3)
    pixels = torch.from_numpy(np.asarray(first).copy()).permute(2, 0, 1)[None]
    torch.testing.assert_close(torch.from_numpy(batch[:1]), images.student.normalise(pixels))


def test_without_images_to_measure_nothing_is_measured(images: OnnxImages) -> None:
    index = images.image_index
    trained = ImageIndex.of(index.root, index.labels, [item for item in index if item.part == "train"])
    given = replace(images, image_index=trained).inputs(PromptOptions(concept="bird"), 0.07, None)
    assert (given.measure, given.templates) == (None, ("a photo of {}, a type of bird",))
    assert images.inputs(PromptOptions(with_name=False), 0.07, None).templates == ("a photo of {}",)
    assert images.inputs(PromptOptions(), 0.07, None).measure is not None


def test_a_stop_request_ends_the_measurement(images: OnnxImages) -> None:
    encode: Callable[[Batch], Batch] = torch_encoder(images)
    calls: list[int] = []
    hooks = PipelineHooks(should_stop=lambda: bool(calls))

    def counted(batch: Batch) -> Batch:
        calls.append(len(batch))
        return encode(batch)

    stopped = replace(images, hooks=hooks)
    stopped.image_index.part("held_out")
    with pytest.raises(Stopped):
        stopped.measure(both(counted))
    assert len(calls) >= 1
