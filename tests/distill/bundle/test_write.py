"""A bundle reproduces the student's features in timm and open_clip, lists its files correctly and holds no pickle."""

import errno
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

from distill.bundle import student_files
from distill.bundle.onnx.files import OnnxInputs
from distill.bundle.optional_parts import OPTIONAL_PARTS
from distill.bundle.student_files import StudentWeights
from distill.bundle.verify import file_sha256, verify_bundle
from distill.bundle.write import BundleError, BundleFile
from distill.student.model import build_student
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import encode_text_targets
from limbeck.classify import load_student
from tests.distill.bundle.bundles import (
    EVALUATION,
    LABELS,
    NASTY,
    PROVENANCE,
    expected_features,
    student_weights,
)
from tests.distill.bundle.cards import programs
from tests.distill.conftest import WIDTH, save_clip, tiny_clip_config


@pytest.mark.slow
def test_both_libraries_reproduce_the_features(written: tuple[Path, list[BundleFile]], tiny_teacher: Teacher) -> None:
    student, out = student_weights("resnet10t", 64), written[0]
    noise = torch.randn(4, 3, 64, 64)
    expected = expected_features(student, noise)
    from_folder = timm.create_model(f"local-dir:{out / 'image'}", pretrained=True).eval()
    from_weights = timm.create_model(
        "resnet10t", num_classes=WIDTH, checkpoint_path=str(out / "image/model.safetensors")
    ).eval()
    paired, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{out / 'pairing'}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{out / 'pairing'}")
    texts = ["a photo of a crane", "a photo of a heron, which has long legs"]
    with torch.no_grad():
        for given in (from_folder(noise), from_weights(noise), paired.eval().encode_image(noise)):
            torch.testing.assert_close(given, expected, atol=1e-5, rtol=0)
        encoded = paired.encode_text(tokenizer(texts), normalize=True)
    torch.testing.assert_close(encoded, tiny_teacher.encode_text(texts), atol=1e-5, rtol=0)
    picture = Image.effect_noise((90, 70), 80).convert("RGB")
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(from_folder))
    torch.testing.assert_close(preprocess(picture), transform(picture), atol=1e-6, rtol=0)


@pytest.mark.slow
def test_test_crop_equals_the_crop_of_timm(tmp_path: Path, write: Callable[..., Any]) -> None:
    write(tmp_path / "bundle", student_weights("resnet10t", 56, crop_pct=0.875))
    model = timm.create_model(f"local-dir:{tmp_path / 'bundle/image'}", pretrained=True)
    config = timm.data.resolve_model_data_config(model)
    assert (config["input_size"], config["crop_pct"], config["crop_mode"]) == ((3, 56, 56), 0.875, "squash")
    assert (list(config["mean"]), list(config["std"])) == ([0.4, 0.5, 0.6], [0.2, 0.3, 0.25])
    picture = Image.effect_noise((90, 70), 80).convert("RGB")
    expected = timm.data.create_transform(**{**config, "crop_pct": 1.0, "input_size": (3, 64, 64)})(picture)
    shown = timm.data.create_transform(**config)(picture)
    torch.testing.assert_close(shown, expected[:, 4:60, 4:60], atol=1e-6, rtol=0)
    assert "central 87.5%" in (tmp_path / "bundle/README.md").read_text()


def test_manifest_and_files(written: tuple[Path, list[BundleFile]], tiny_teacher: Teacher) -> None:
    out, files = written
    manifest = verify_bundle(out)
    assert [file.path for file in files] == [
        "README.md",
        "accuracy.png",
        "confusions.png",
        "evaluation.json",
        "image/config.json",
        "image/model.safetensors",
        "loss.png",
        "pairing/open_clip_config.json",
        "pairing/open_clip_model.safetensors",
        "pairing/tokenizer.json",
        "pairing/tokenizer_config.json",
        "reliability.png",
        "targets/labels.json",
        "targets/text_targets.safetensors",
        "training.jsonl",
        "manifest.json",
    ]
    for file in files:
        path = out / file.path
        assert (file_sha256(path), path.stat().st_size) == (file.sha256, file.size)
        assert path.stat().st_mode & 0o777 == 0o644
    assert manifest["made_from"]["vocabulary"] == PROVENANCE["vocabulary"]
    assert manifest["made_from"]["teacher"]["digest"] == tiny_teacher.digest
    labels = json.loads((out / "targets/labels.json").read_text())["labels"]
    assert labels[1] == {**LABELS[1], "prompts": [" ".join(f"a photo of {NASTY} . <script>".split())]}
    assert json.loads((out / "evaluation.json").read_text()) == EVALUATION
    assert load_file(out / "targets/text_targets.safetensors")["features"].shape == (2, WIDTH)
    assert [path.name for path in out.parent.iterdir()] == ["bundle"]


def test_no_file_is_a_pickle(written: tuple[Path, list[BundleFile]]) -> None:
    for path in (path for path in written[0].rglob("*") if path.is_file()):
        if path.suffix in (".json", ".jsonl", ".md"):
            path.read_text(encoding="utf-8")
        else:
            assert path.suffix in (".safetensors", ".png")
        assert path.read_bytes()[:2] not in (b"PK", b"\x80\x02", b"\x80\x04")


@pytest.mark.slow
def test_same_student_gives_the_same_bytes(
    tmp_path: Path, written: tuple[Path, list[BundleFile]], write: Callable[..., Any]
) -> None:
    assert write(tmp_path / "again", student_weights("resnet10t", 64)).files == written[1]


def test_texts_of_labels_are_escaped_in_the_card(written: tuple[Path, list[BundleFile]]) -> None:
    card = (written[0] / "README.md").read_text()
    prose = re.sub(r"```python\n.*?```", "", card, flags=re.DOTALL)
    assert "&lt;img" in prose
    for markup in ("<img", "<script", "](javascript", "```", "\n# heading"):
        assert markup not in prose
    assert re.search(r"(?<!\\)\$", prose) is None
    assert "| 75.0% | 50.0% |" in prose


@pytest.mark.slow
def test_siglip_like_teacher(tmp_path: Path, write: Callable[..., Any]) -> None:
    config = {**tiny_clip_config(custom_text=True), "init_logit_bias": -10.0, "quick_gelu": True}
    config["text_cfg"] |= {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    teacher = load_teacher(f"local-dir:{save_clip(tmp_path / 'siglip', config)}")
    write(tmp_path / "bundle", student_weights("resnet10t", 64), teacher=teacher)
    paired = open_clip.create_model(f"local-dir:{tmp_path / 'bundle/pairing'}")
    assert paired.logit_bias.item() == -10


@pytest.mark.slow
def test_inconsistent_inputs_are_refused_and_leave_no_files(
    tmp_path: Path, write: Callable[..., Any], tiny_teacher: Teacher
) -> None:
    student = student_weights("resnet10t", 64)
    other = load_teacher(f"local-dir:{save_clip(tmp_path / 'other', tiny_clip_config(), seed=1)}")
    others_targets = encode_text_targets(other, [("a",), ("b",)], cache=None)
    three = encode_text_targets(tiny_teacher, [("a",), ("b",), ("c",)], cache=None)
    wrong_name = StudentWeights(name="resnet18", width=WIDTH, state=student.state, preprocess=student.preprocess)
    wide = StudentWeights(name="resnet10t", width=64, state=student.state, preprocess=student.preprocess)
    out = tmp_path / "bundle"
    for changes, message in (
        ({"targets": others_targets}, "not encoded by the teacher"),
        ({"targets": three}, "do not match 2 labels"),
        ({"student": wrong_name}, "do not fit a resnet18"),
        ({"student": wide}, "must be equal"),
    ):
        with pytest.raises(BundleError, match=message):
            write(out, changes.get("student", student), **{k: v for k, v in changes.items() if k != "student"})
    diverged = replace(student, state={name: one * float("nan") for name, one in student.state.items()})
    with pytest.raises(BundleError, match="resnet10t gives features that are not finite: .*lower lr"):
        write(out, diverged)
    with pytest.raises(ValueError, match="JSON compliant"):
        write(out, student, evaluation={**EVALUATION, "id": {**EVALUATION["id"], "accuracy": float("nan")}})  # type: ignore[dict-item]
    assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_existing_bundle_is_not_overwritten(tmp_path: Path, write: Callable[..., Any]) -> None:
    (tmp_path / "bundle").mkdir()
    write(tmp_path / "bundle", student_weights("resnet10t", 64))
    before = (tmp_path / "bundle/manifest.json").read_bytes()
    with pytest.raises(BundleError, match="already exists"):
        write(tmp_path / "bundle", student_weights("resnet10t", 32))
    assert (tmp_path / "bundle/manifest.json").read_bytes() == before


@pytest.mark.slow
def test_a_student_that_timm_does_not_reproduce_is_an_error(
    tmp_path: Path, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_changed(path: Path, state: dict[str, torch.Tensor]) -> None:
        save(path, {name: tensor + 1e-3 if name == "fc.bias" else tensor for name, tensor in state.items()})

    save = student_files.save_weights
    monkeypatch.setattr(student_files, "save_weights", save_changed)
    with pytest.raises(BundleError, match="image/ in timm gives features that differ by 0.001"):
        write(tmp_path / "bundle", student_weights("resnet10t", 64))
    assert not (tmp_path / "bundle").exists()


def wrong_weights(path: Path, state: dict[str, torch.Tensor]) -> None:
    """Saves the pairing with another bias of the student's head."""
    name = "visual.trunk.fc.bias"
    student_files.save_weights(path, {**state, name: state[name] + 1e-3})


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_arguments: Any, **_named: Any) -> None:
        raise error

    return fail


FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "replacement", "part", "reason"),
    [
        ("distill.bundle.pairing.save_weights", wrong_weights, "pairing", "features that differ by 0.001"),
        ("distill.bundle.pairing.save_weights", raising(FULL_DISK), "pairing", "No space left"),
        ("distill.bundle.write.verify_pairing", raising(MemoryError()), "pairing", "MemoryError"),
        ("distill.bundle.card.plots.draw_confusions", raising(RuntimeError("no font")), "plots", "no font"),
        ("distill.bundle.write.model_card", raising(KeyError("versions")), "card", "versions"),
    ],
    ids=["other weights", "full disk", "no memory", "plots", "card"],
)
def test_an_optional_part_that_fails_is_left_out(
    tmp_path: Path,
    write: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    replacement: Callable[..., Any],
    part: str,
    reason: str,
) -> None:
    monkeypatch.setattr(place, replacement)
    student, out = student_weights("resnet10t", 64), tmp_path / "bundle"
    written = write(out, student)
    assert list(written.left_out) == [part]
    assert reason in written.left_out[part]
    assert verify_bundle(out)["left_out"] == written.left_out
    assert not any((out / name).exists() for name in OPTIONAL_PARTS[part])
    others = OPTIONAL_PARTS.keys() & {"pairing", "plots", "card"} - {part}
    measured = {"open_set.png", "domains.png", "corruptions.png"}  # not in this evaluation
    assert all((out / name).exists() for other in others for name in OPTIONAL_PARTS[other] if name not in measured)
    model = timm.create_model(f"local-dir:{out / 'image'}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(model(student.noise()), expected_features(student, student.noise()))
    if part != "card":
        prose = " ".join((out / "README.md").read_text().replace("\\", "").split())
        assert {"pairing": "no `pairing/` for open_clip: ", "plots": "could not be drawn: no font"}[part] in prose


def test_a_part_that_is_known_to_fail_is_not_tried(tmp_path: Path, write: Callable[..., Any]) -> None:
    left_out = {"pairing": "open_clip cannot load <it>", "plots": "no display"}
    written = write(tmp_path / "bundle", student_weights("test_resnet", 32), left_out=left_out)
    assert written.left_out == left_out
    assert {file.path.partition("/")[0] for file in written.files if not file.path.endswith(".md")} == {
        "evaluation.json",
        "image",
        "manifest.json",
        "targets",
        "training.jsonl",
    }
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "open\\_clip cannot load &lt;it&gt;" in card
    assert "import open_clip" not in card
    assert ".png" not in card


@pytest.mark.image_input(
    "Students", "a teacher or label whose name is not UTF-8", "the bundle is written, with the bytes as escapes"
)
def test_names_that_are_not_utf_8_are_written_as_escapes(tmp_path: Path, write: Callable[..., Any]) -> None:
    name = b"cr\xe2ne".decode(errors="surrogateescape")
    evaluation = {**EVALUATION, "teacher": [{"run": f"local-dir:{name}", "text": "names", "id": None, "ood": None}]}
    left_out = {"pairing": "", "plots": ""}
    write(tmp_path / "bundle", student_weights("test_resnet", 32), evaluation=evaluation, left_out=left_out)
    assert json.loads((tmp_path / "bundle" / "evaluation.json").read_text(encoding="utf-8")) == evaluation


@pytest.mark.slow
def test_bundle_of_a_student_without_evaluation(tmp_path: Path, write: Callable[..., Any]) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\nnot json\n')
    write(
        tmp_path / "bundle",
        student_weights("resnet10t", 64),
        evaluation={"text": "names", "id": None, "ood": None},
        training_log=tmp_path / "log.jsonl",
    )
    assert "The student was not evaluated." in (tmp_path / "bundle/README.md").read_text()


@pytest.mark.image_input("Students", "a student of grey images", "a bundle for timm and `classify`, without pairing")
def test_grey_student_is_bundled_without_pairing(
    tmp_path: Path, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_student("test_resnet", width=WIDTH, image_px=(32, 48), seed=0, in_chans=1)
    student = StudentWeights(
        name=built.name,
        width=WIDTH,
        state=built.model.state_dict(),
        preprocess=built.preprocess(),
        model_args=built.model_args,
    )
    out = tmp_path / "bundle"
    onnx = OnnxInputs(temperature=0.07, templates=("{}",), calibration=list)
    not_needed = {"image-uint8.onnx": "not needed", "image-int8.onnx": "not needed"}
    provenance = {**PROVENANCE, "initial_weights": {"source": "random"}}
    write(out, student, provenance=provenance, onnx=onnx, left_out=not_needed)
    assert not (out / "pairing").exists()
    config = json.loads((out / "image" / "config.json").read_text())
    assert config["pretrained_cfg"]["input_size"] == [1, 32, 48]
    assert config["model_args"]["in_chans"] == 1
    assert json.loads((out / "manifest.json").read_text())["student"]["preprocess"]["mode"] == "L"
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out / "photo.png")
    with torch.inference_mode():
        pixels = built.normalise(torch.from_numpy(noise).permute(2, 0, 1)[None])
        feature = torch.nn.functional.normalize(built.model.eval()(pixels), dim=-1)
    targets = load_file(out / "targets" / "text_targets.safetensors")["features"].float()
    expected = (feature @ targets.T / 0.07).softmax(dim=-1)[0]
    found = load_student(out).classify(out / "photo.png", top=2)
    assert [one.confidence for one in found.labels] == pytest.approx(sorted(expected.tolist(), reverse=True), abs=2e-3)
    card = (out / "README.md").read_text()
    assert "32 × 48 px, mode L" in card
    assert "This folder has no `pairing/` for open_clip" in card
    monkeypatch.chdir(out)
    (out / "photo.png").rename(out / "photo.jpg")  # decoded by content
    names: dict[str, Any] = {}
    exec(programs(card)["timm"], names)  # noqa: S102 - the code of the model card
    torch.testing.assert_close(names["embedding"], feature, atol=5e-3, rtol=0)


def test_card_names_the_weights_that_the_training_started_from(tmp_path: Path, write: Callable[..., Any]) -> None:
    initial = {"source": "timm/x.y", "file": "model.safetensors", "sha256": "0" * 64, "license": "cc-by-nc-4.0"}
    write(tmp_path / "bundle", student_weights("test_resnet", 32), provenance={"initial_weights": initial})
    card = (tmp_path / "bundle" / "README.md").read_text()
    rows = [line.replace("\\", "") for line in card.splitlines() if line.startswith("| weights before training")]
    assert rows == [
        "| weights before training | timm/x.y (model.safetensors), licence cc-by-nc-4.0 |",
        f"| weights before training | timm/x.y | `{'0' * 64}` |",
    ]
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["made_from"]["initial_weights"] == initial


def test_weights_of_another_width_are_refused_in_one_line(tmp_path: Path, write: Callable[..., Any]) -> None:
    student = student_weights("test_resnet", 32)
    partial = {name: tensor for name, tensor in student.state.items() if name != "fc.bias"}
    reason = r"do not fit a test_resnet of width \d+: 1 tensor is missing \(first fc.bias\)$"
    with pytest.raises(BundleError, match=reason):
        write(tmp_path / "bundle", replace(student, state=partial))
