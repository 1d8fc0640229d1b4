"""Initial student from a bundle: weights, learned vectors, and errors for other students and teachers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.bundle.write import StudentWeights, write_bundle
from distill.config.train_config import TrainConfig
from distill.evaluation.accuracy import evaluate
from distill.student.init_from_bundle import InitialStudentError, read_initial_student, trained_before
from distill.student.model import build_student
from distill.teacher.teacher import Teacher
from distill.texts.prompt_learning import with_context
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.training.loop import train
from tests.distill.helpers_train import small_config, small_data

LABELS = ("crane", "heron")


def write(out: Path, teacher: Teacher, *, context: torch.Tensor | None = None) -> Path:
    targets = encode_text_targets(teacher, [[f"a photo of {label}"] for label in LABELS], cache=None)
    if context is not None:
        targets = with_context(teacher, targets, context)
    student = build_student("test_resnet", width=teacher.width, image_px=32, seed=7)
    log = out.with_suffix(".jsonl")
    log.write_text(json.dumps({"step": 1, "loss": 1.0, "losses": {"cls": 1.0}}) + "\n")
    measured = evaluate(
        "names",
        targets.features,
        torch.arange(2).numpy(),
        targets.features,
        names=LABELS,
        id_labels=[0, 1],
        ood_labels=[],
    )
    write_bundle(
        out,
        student=StudentWeights(
            name="test_resnet", width=teacher.width, state=student.model.state_dict(), preprocess=student.preprocess()
        ),
        teacher=teacher,
        targets=targets,
        labels=[{"label": label, "part": "id"} for label in LABELS],
        evaluation=measured.as_json(),
        training_log=log,
        provenance={},
    )
    return out


@pytest.fixture(scope="module")
def bundle(tiny_teacher: Teacher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("start") / "bundle", tiny_teacher)


def config(**overrides: Any) -> TrainConfig:
    return small_config(protocol="fine_tune", shots=1, epochs=1, **overrides)


@pytest.mark.slow
def test_a_student_keeps_the_mean_and_std_that_its_weights_know(bundle: Path, tiny_teacher: Teacher) -> None:
    start = read_initial_student(bundle, config(), tiny_teacher.digest)
    built = build_student("test_resnet", width=tiny_teacher.width, image_px=32, seed=7)
    assert (start.mean, start.std) == (built.mean, built.std)
    other = replace(start, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    tuned = train(config(), small_data(width=tiny_teacher.width), initial_student=other).student
    assert (tuned.mean, tuned.std) == (other.mean, other.std)


@pytest.mark.slow
def test_training_starts_from_the_weights_of_the_bundle(bundle: Path, tiny_teacher: Teacher) -> None:
    start = read_initial_student(bundle, config(), tiny_teacher.digest)
    own = build_student("test_resnet", width=tiny_teacher.width, image_px=32, seed=7).model.state_dict()
    other = build_student("test_resnet", width=tiny_teacher.width, image_px=32, seed=0)
    start.load_into(other.model, None)
    assert all(torch.equal(tensor, own[name]) for name, tensor in other.model.state_dict().items())
    data = small_data(few=3, width=tiny_teacher.width)
    still = train(config(lr=1e-9), data, initial_student=start).student.model.state_dict()
    torch.testing.assert_close(still["fc.weight"], own["fc.weight"], atol=1e-6, rtol=0)
    fresh = train(config(lr=1e-9), data).student.model.state_dict()
    assert not torch.allclose(fresh["fc.weight"], own["fc.weight"], atol=1e-3)


@pytest.mark.slow
def test_what_own_weights_were_trained_on_is_known_if_they_lie_in_a_bundle(
    bundle: Path, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    start = read_initial_student(bundle, config(), tiny_teacher.digest)
    assert trained_before(config(), start) is start.trained_on
    assert start.trained_on.labels == LABELS
    weights = bundle / "image" / "model.safetensors"
    for path in (weights.parent, weights):
        known = trained_before(small_config(weights=str(path)), None)
        assert known is not None
        assert known.labels == LABELS
    shutil.copy(weights, tmp_path / "own.safetensors")
    assert trained_before(small_config(weights=str(tmp_path / "own.safetensors")), None) is None
    assert trained_before(small_config(), None) is None


@pytest.mark.slow
def test_learned_vectors_are_loaded_and_need_context_tokens(tiny_teacher: Teacher, tmp_path: Path) -> None:
    context = torch.randn(3, 16)
    bundle = write(tmp_path / "bundle", tiny_teacher, context=context)
    start = read_initial_student(bundle, config(context_tokens=3), tiny_teacher.digest)
    own_context = torch.nn.Parameter(torch.zeros(3, 16))
    model = build_student("test_resnet", width=tiny_teacher.width, image_px=32, seed=0).model
    start.load_into(model, own_context)
    assert torch.equal(own_context, context)
    with pytest.raises(InitialStudentError, match="set context_tokens to 3"):
        read_initial_student(bundle, config(), tiny_teacher.digest)
    with pytest.raises(InitialStudentError, match="3 learned vectors of width 16"):
        start.load_into(model, torch.nn.Parameter(torch.zeros(4, 16)))


@pytest.mark.slow
def test_code_of_the_model_card_encodes_a_new_label(
    tiny_teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bundle alone is enough: it has the text tower and the learned vectors."""
    bundle = write(tmp_path / "bundle", tiny_teacher, context=torch.randn(3, 16))
    card = (bundle / "README.md").read_text()
    assert "with 3 learned vectors" in card
    (code,) = (part.partition("```")[0] for part in card.split("```python") if "with_context" in part)
    monkeypatch.chdir(bundle)
    exec(code, {})  # noqa: S102 - the code of the model card
    context = TextTargets.load(bundle / "targets" / "text_targets.safetensors").context
    assert context is not None
    new = encode_text_targets(tiny_teacher, [["a photo of a crane"], ["a photo of a heron"]], cache=None)
    assert str(with_context(tiny_teacher, new, context).features) in capsys.readouterr().out
    assert "learned vectors" not in (write(tmp_path / "plain", tiny_teacher) / "README.md").read_text()


def test_bundle_of_another_student_or_teacher_or_damaged_bundle_is_refused(
    bundle: Path, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    with pytest.raises(InitialStudentError, match="holds a test_resnet, but the student is a test_vit: set student"):
        read_initial_student(bundle, config(student="test_vit"), tiny_teacher.digest)
    with pytest.raises(InitialStudentError, match="was distilled from another teacher"):
        read_initial_student(bundle, config(), "0" * 64)
    with pytest.raises(InitialStudentError, match="holds no manifest.json"):
        read_initial_student(tmp_path, config(), tiny_teacher.digest)
    shutil.copytree(bundle, tmp_path / "copy")
    weights = tmp_path / "copy" / "image" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InitialStudentError, match="has a different sha256"):
        read_initial_student(tmp_path / "copy", config(), tiny_teacher.digest)
    weights.unlink()
    with pytest.raises(InitialStudentError, match="lacks image/model.safetensors: download"):
        read_initial_student(tmp_path / "copy", config(), tiny_teacher.digest)


def test_weights_of_another_width_are_refused(bundle: Path, tiny_teacher: Teacher) -> None:
    start = read_initial_student(bundle, config(), tiny_teacher.digest)
    reason = r"2 tensors are of another shape \(first fc.weight: 32×\d+ instead of 5×\d+\)"
    with pytest.raises(InitialStudentError, match=f"do not fit the student: {reason}"):
        start.load_into(build_student("test_resnet", width=5, image_px=32, seed=0).model, None)
