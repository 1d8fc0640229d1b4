"""The trial of a bundle: what is refused, what is left out, and that its result is cached by architecture."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from distill.bundle import preflight
from distill.bundle.preflight import BundleTrial, check_disk, check_out, try_bundle
from distill.bundle.student_files import StudentWeights
from distill.bundle.verify import BundleError
from distill.config.train_config import BundleConfig
from distill.pipeline import bundle_weights
from distill.student.model import build_student
from distill.teacher.teacher import Teacher, load_teacher
from tests.distill.conftest import save_clip, tiny_clip_config


def new_student(name: str = "test_resnet", *, image_px: int = 32, width: int = 32, seed: int = 0) -> StudentWeights:
    return bundle_weights(build_student(name, width=width, image_px=image_px, seed=seed))


@pytest.fixture
def attempt(tmp_path: Path, tiny_teacher: Teacher) -> Callable[..., BundleTrial]:
    """`attempt(student)`: a trial with the cache `cache` and the scratch folder `scratch` below `tmp_path`."""
    (tmp_path / "scratch").mkdir()

    def attempt(
        student: StudentWeights, teacher: Teacher = tiny_teacher, files: BundleConfig = preflight.NO_ONNX
    ) -> BundleTrial:
        trial = try_bundle(student, teacher, cache=tmp_path / "cache", scratch=tmp_path / "scratch", files=files)
        assert list((tmp_path / "scratch").iterdir()) == []
        return trial

    return attempt


def test_the_result_is_cached_by_architecture_and_not_by_weights(
    attempt: Callable[..., BundleTrial], tmp_path: Path
) -> None:
    first = attempt(new_student())
    assert (dict(first.left_out), first.is_cached) == ({}, False)
    assert str(first).startswith("bundle tried in ")
    assert attempt(new_student(seed=1)).is_cached
    other = load_teacher(f"local-dir:{save_clip(tmp_path / 'other', tiny_clip_config(), seed=1)}")
    assert attempt(new_student(), other).is_cached
    deeper = tiny_clip_config()
    deeper["text_cfg"]["layers"] = 3
    for student, teacher in (
        (new_student(image_px=64), other),
        (new_student("test_efficientnet"), other),
        (new_student(), load_teacher(f"local-dir:{save_clip(tmp_path / 'deeper', deeper)}")),
    ):
        assert not attempt(student, teacher).is_cached


def test_a_student_at_another_size_is_tried_without_a_warning_of_random_weights(
    attempt: Callable[..., BundleTrial], caplog: pytest.LogCaptureFixture
) -> None:
    """open_clip warns while it builds the pairing, whose weights are loaded afterwards."""
    assert attempt(new_student("test_vit", image_px=64)).left_out == {}
    assert caplog.messages == []


def test_another_version_of_a_library_is_another_trial(
    attempt: Callable[..., BundleTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(new_student())
    monkeypatch.setattr("timm.__version__", "1.0.99")
    assert not attempt(new_student()).is_cached


@pytest.mark.parametrize("content", [b"{", b'{"left_out": 3}', b"\xff"], ids=["cut", "other types", "binary"])
def test_a_damaged_cache_file_is_ignored(attempt: Callable[..., BundleTrial], tmp_path: Path, content: bytes) -> None:
    attempt(new_student())
    (file,) = (tmp_path / "cache" / "bundle_trials").iterdir()
    file.write_bytes(content)
    assert not attempt(new_student()).is_cached


def test_the_trial_does_not_change_the_random_numbers_of_torch(attempt: Callable[..., BundleTrial]) -> None:
    student = new_student()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    attempt(student)
    assert torch.equal(torch.rand(3), expected)


def test_weights_of_zero_do_not_hide_a_tower_that_was_not_loaded(
    attempt: Callable[..., BundleTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    student = new_student()
    zeros = StudentWeights(
        name=student.name,
        width=student.width,
        state={name: torch.zeros_like(t) if name.startswith("fc.") else t for name, t in student.state.items()},
        preprocess=student.preprocess,
    )
    save = preflight.write_image

    def save_other(folder: Path, student: StudentWeights, model: torch.nn.Module) -> None:
        with torch.no_grad():
            first = next(model.parameters())
            first.neg_()
            save(folder, student, model)
            first.neg_()

    monkeypatch.setattr(preflight, "write_image", save_other)
    with pytest.raises(BundleError, match="image/ in timm gives features"):
        attempt(zeros)


@pytest.mark.image_input(
    "Students",
    "a student that timm cannot load again at this size",
    "refused before the training, with the size that works",
)
def test_a_student_that_timm_cannot_reload_is_refused(
    attempt: Callable[..., BundleTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("Error(s) in loading state_dict for ResNet:\n\tsize mismatch for fc.weight\n\tmore")

    monkeypatch.setattr(preflight, "verify_image", fail)
    with pytest.raises(BundleError) as refused:
        attempt(new_student())
    assert str(refused.value) == (
        "a trained test_resnet of 32 px could not be loaded again with timm (Error(s) in loading state_dict for "
        "ResNet: size mismatch for fc.weight): set image_px to 160, its own size, or choose another student"
    )
    with pytest.raises(BundleError, match="fc.weight\\): choose another student"):
        attempt(new_student(image_px=160))


class Failure(NamedTuple):
    """An error of open_clip, and whether the result is cached."""

    error: Exception
    is_cached: bool


@pytest.mark.image_input(
    "Students",
    "a student that open_clip cannot rebuild",
    "the run starts with a warning, and its bundle has no pairing",
)
@pytest.mark.parametrize(
    "failure",
    [Failure(TypeError("no img_size"), True), Failure(OSError("the Hub did not answer"), False)],
    ids=["other code", "no Hub"],
)
def test_a_student_that_open_clip_cannot_rebuild_has_no_pairing(
    attempt: Callable[..., BundleTrial], monkeypatch: pytest.MonkeyPatch, failure: Failure
) -> None:
    def fail(*_: Any) -> None:
        raise failure.error

    monkeypatch.setattr("distill.bundle.pairing.load_pairing", fail)
    trial = attempt(new_student())
    assert trial.left_out == {"pairing": f"open_clip cannot load test_resnet ({failure.error})"}
    assert "it will have no pairing (open_clip cannot load" in str(trial)
    assert attempt(new_student()).is_cached is failure.is_cached


def test_no_memory_is_no_property_of_an_architecture(
    attempt: Callable[..., BundleTrial], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("distill.bundle.pairing.load_pairing", fail)
    with pytest.raises(MemoryError):
        attempt(new_student())


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    check_out(bundle)
    bundle.mkdir()
    check_out(bundle)
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="holds files that are no bundle: move them away"):
        check_out(bundle)
    (bundle / "manifest.json").write_text("{}")
    check_out(bundle)
    shutil.rmtree(bundle)
    bundle.write_text("a file")
    with pytest.raises(BundleError, match="move them away"):
        check_out(bundle)


def test_a_disk_without_space_is_refused(
    tmp_path: Path, tiny_teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = new_student()
    check_disk(tmp_path, student, tiny_teacher, num_labels=10)
    with pytest.raises(OSError, match=r"need 1[\d,]+ MB: free space, or give a folder on another disk") as refused:
        check_disk(tmp_path, student, tiny_teacher, num_labels=10**10)
    assert refused.value.filename == str(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 8, 2))  # type: ignore[attr-defined]
    with pytest.raises(OSError, match="0 MB are free"):
        check_disk(tmp_path, student, tiny_teacher, num_labels=10)


@pytest.mark.parametrize("failure", [Failure(ValueError("no such operation"), True), Failure(MemoryError(), False)])
def test_a_student_that_cannot_be_exported_has_no_onnx_files(
    attempt: Callable[..., BundleTrial], monkeypatch: pytest.MonkeyPatch, failure: Failure
) -> None:
    """An error of memory or disk ends the trial, because it says nothing of the student."""

    def fail(*_: Any, **__: Any) -> None:
        raise failure.error

    monkeypatch.setattr("torch.onnx.export", fail)
    if not failure.is_cached:
        with pytest.raises(type(failure.error)):
            attempt(new_student(), files=BundleConfig())
        return
    trial = attempt(new_student(), files=BundleConfig())
    assert trial.left_out == {"onnx": "torch cannot export it to ONNX (no such operation)"}
    assert "it will have no onnx (torch cannot export it" in str(trial)
    assert attempt(new_student(), files=BundleConfig()).is_cached
    assert not attempt(new_student()).is_cached  # a bundle without these files was not tried


@pytest.mark.nightly
def test_all_onnx_files_of_a_small_student_can_be_written(attempt: Callable[..., BundleTrial]) -> None:
    trial = attempt(new_student(), files=BundleConfig(text_onnx=True))
    assert (dict(trial.left_out), trial.has_onnx) == ({}, True)
    assert str(trial).endswith("timm, open_clip and ONNX Runtime reproduce the student's features")


def test_onnx_files_need_disk_space(tmp_path: Path, tiny_teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = []
    for files in (BundleConfig(onnx=False), BundleConfig(), BundleConfig(text_onnx=True)):
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
        with pytest.raises(OSError, match="MB are free") as raised:
            check_disk(tmp_path, new_student(), tiny_teacher, num_labels=10, files=files)
        needed.append(float(str(raised.value).partition("need ")[2].partition(" MB")[0]))
    assert needed[0] < needed[1] < needed[2]
