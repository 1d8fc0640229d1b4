"""Student architectures with CLIP and SigLIP teachers: width of the head, one training step, learned vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill.bundle.student_files import StudentWeights
from distill.bundle.write import BundleError, write_bundle
from distill.config.model_names import UnknownName, check_student, check_teacher
from distill.config.train_config import StudentConfig
from distill.student.model import Student, build_student, configured_student
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.prompt_learning import PromptedTexts
from distill.texts.text_targets import encode_text_targets
from distill.training.hooks import TrainHooks
from distill.training.loader import TrainData
from distill.training.loop import train
from distill.training.metrics import StepMetrics
from tests.distill.conftest import save_siglip
from tests.distill.helpers_train import WIDTH, small_config, small_data

STUDENTS = {
    "resnet18": 32,
    "vit_base_patch32_224": 64,
    "mobilenetv4_conv_small": 32,
    "efficientvit_b0": 64,
    "convnext_atto": 32,
}


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Teacher:
    return load_teacher(f"local-dir:{save_siglip(tmp_path_factory.mktemp('teachers') / 'siglip')}")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STUDENTS))
def test_one_training_step_of_each_architecture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parameters change, and the head is a linear layer of the teacher's width."""
    before: dict[str, torch.Tensor] = {}

    def build_and_record(config: StudentConfig, **given: Any) -> Student:
        built = configured_student(config, **given)
        before.update({key: parameter.detach().clone() for key, parameter in built.model.named_parameters()})
        return built

    monkeypatch.setattr("distill.training.setup.configured_student", build_and_record)
    px, seen = STUDENTS[name], list[StepMetrics]()
    config = small_config(
        student=name,
        image_px=px,
        epochs=1,
        batch_size=4,
        lr=0.1,
        optimizer="sgd",
        momentum=0,
        losses={"vlalign": 1, "icl": 1, "affinity": 1},
    )
    model = train(config, small_data(4, 2, side_px=px), hooks=TrainHooks(on_step=seen.append)).student.model
    assert len(seen) == 1
    assert all(np.isfinite(value) for value in seen[0].losses.values())
    layers = [layer for layer in model.get_classifier().modules() if isinstance(layer, torch.nn.Linear)]
    assert layers[-1].out_features == WIDTH
    num_changed = sum(not torch.equal(parameter, before[key]) for key, parameter in model.named_parameters())
    # Residual branches that are initialised to zero have no gradient in the first step.
    assert num_changed > 0.7 * len(before)


def test_learned_vectors_with_a_siglip_teacher(siglip: Teacher) -> None:
    """The text tower is bidirectional, pools the last token, has no start token, and another width than CLIP's."""
    prompts = [[f"a photo of {words}"] for words in ("crane", "red crane with cap", "cap")]
    targets = encode_text_targets(siglip, prompts, cache=None)
    assert siglip._num_start_tokens == 0
    texts = PromptedTexts(siglip, prompts, 2)
    words = siglip._token_embedding()(torch.tensor([3, 4]))
    spelled = siglip.encode_text([f"a photo {words[0].removeprefix('a photo of ')}." for words in prompts])
    torch.testing.assert_close(texts(words), spelled, atol=1e-5, rtol=1e-5)

    base = small_data(12, 3, side_px=32, width=siglip.width)
    data = TrainData(
        pixels=base.pixels,
        labels=base.labels,
        teacher=base.teacher,
        texts=targets.features,
        usable=base.usable,
        digests={},
        prompted=texts,
    )
    result = train(small_config(epochs=1, batch_size=4, context_tokens=2, lr=1e-2), data)
    assert result.student.width == siglip.width == 64
    assert result.context is not None
    assert (result.context - texts.initial(0)).abs().max() > 1e-3


def test_targets_of_another_teacher_are_refused(siglip: Teacher, tiny_teacher: Teacher, tmp_path: Path) -> None:
    base = small_data(width=tiny_teacher.width)
    targets = encode_text_targets(siglip, [["a photo of crane"]] * 3, cache=None)
    mismatched = TrainData(
        pixels=base.pixels,
        labels=base.labels,
        teacher=base.teacher,
        texts=targets.features,
        usable=base.usable,
        digests={},
    )
    with pytest.raises(ValueError, match="teacher features of width 32, texts of 64"):
        train(small_config(), mismatched)
    student = build_student("test_resnet", width=siglip.width, image_px=32, seed=0)
    weights = StudentWeights(
        name="test_resnet", width=siglip.width, state=student.model.state_dict(), preprocess=student.preprocess()
    )
    given = {
        "student": weights,
        "targets": targets,
        "labels": [{"label": "crane"}] * 3,
        "evaluation": {},
        "training_log": tmp_path / "log",
        "provenance": {},
    }
    with pytest.raises(BundleError, match="embedding width of the student is 64, of the teacher 32"):
        write_bundle(tmp_path / "bundle", teacher=tiny_teacher, **given)


def test_errors_for_unknown_names_suggest_similar_names() -> None:
    with pytest.raises(UnknownName, match="closest: convnext_atto"):
        check_student("convnext_ato")
    with pytest.raises(UnknownName, match="closest: ViT-B-16-SigLIP:webli"):
        check_teacher("ViT-B-16-SigLIP:web")
    for name in STUDENTS:
        assert str(check_student(name)) == name
