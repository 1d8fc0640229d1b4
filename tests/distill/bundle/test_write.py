"""A bundle reproduces the student's features in timm and open_clip, lists its files correctly and holds no pickle."""

import errno
import json
import re
import runpy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import ExifTags, Image
from safetensors.torch import load_file

from distill.bundle import student_files
from distill.bundle.onnx_files import OnnxInputs
from distill.bundle.optional_parts import OPTIONAL_PARTS
from distill.bundle.student_files import StudentWeights
from distill.bundle.verify import file_sha256, verify_bundle
from distill.bundle.write import BundleError, BundleFile, write_bundle
from distill.student.model import build_student
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, render
from limbeck.classify import load_student
from limbeck.shared.images.decode import open_rgb
from tests.distill.conftest import WIDTH, save_clip, tiny_clip_config

NASTY = "crane | <img src=x onerror=alert(1)> ```$x_1$``` [click](javascript:alert(1))\n# heading"
BACKGROUND = "#30a0f0"
LABELS = [
    {"label": "grey crane", "sense": None, "part": "id", "sentence": "A tall grey bird.", "phrases": ["a red cap"]},
    {"label": NASTY, "sense": "machine", "part": "ood", "sentence": "<script>", "phrases": []},
]
EVALUATION = {
    "text": "sentence",
    "id": {"accuracy": 0.75, "chance": 1.0, "num_labels": 1, "num_images": 4, "per_label": {"grey crane": 0.75}},
    "ood": {"accuracy": 0.5, "chance": 1.0, "num_labels": 1, "num_images": 2, "per_label": {NASTY: 0.5}},
}
PROVENANCE = {"vocabulary": "a" * 64, "attribute_set": "b" * 64, "dataset": {"digest": "c" * 64, "images": 6}}


def student_weights(
    name: str, image_px: int | tuple[int, int], *, crop_pct: float = 1.0, **model_args: Any
) -> StudentWeights:
    """A student with random weights and random batch norm statistics, whose loss would change the features."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=WIDTH, **model_args)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    preprocess = {
        "size": [image_px, image_px] if isinstance(image_px, int) else list(image_px),
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.25],
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "crop_pct": crop_pct,
        "background": BACKGROUND,
        "decoder": "limbeck decoder 2",
    }
    return StudentWeights(
        name=name, width=WIDTH, state=model.state_dict(), preprocess=preprocess, model_args=model_args
    )


@pytest.fixture(scope="module")
def training_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [{"step": n, "loss": 3 / n, "losses": {"cls": 2 / n, "mse": 1 / n}} for n in range(1, 20)]
    path = tmp_path_factory.mktemp("log") / "log.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module")
def write(training_log: Path, tiny_teacher: Teacher) -> Callable[..., Any]:
    """`write(out, student, **changes)`: a bundle of the tiny teacher and two labels."""

    def write(out: Path, student: StudentWeights, **changes: Any) -> Any:
        teacher = changes.pop("teacher", tiny_teacher)
        prompts = [render("sentence", str(entry["label"]), LabelAttributes(str(entry["sentence"]))) for entry in LABELS]
        given = {
            "teacher": teacher,
            "targets": encode_text_targets(teacher, prompts, cache=None),
            "labels": LABELS,
            "evaluation": EVALUATION,
            "training_log": training_log,
            "provenance": PROVENANCE,
        }
        return write_bundle(out, student=student, **{**given, **changes})

    return write


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, write: Callable[..., Any]) -> tuple[Path, list[BundleFile]]:
    """A bundle, and the files that `write_bundle` returned."""
    out = tmp_path_factory.mktemp("written") / "bundle"
    return out, write(out, student_weights("resnet10t", 64)).files


def expected_features(student: StudentWeights, noise: torch.Tensor) -> torch.Tensor:
    model = timm.create_model(student.name, num_classes=student.width, **student.model_args)
    model.load_state_dict(dict(student.state))
    with torch.no_grad():
        features: torch.Tensor = model.eval()(noise)
    return features


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


@pytest.mark.slow
@pytest.mark.image_input(
    "Decoding", "the code of the model card", "decodes orientation and transparency as training does"
)
@pytest.mark.parametrize(
    ("name", "image_px", "model_args", "resized"),
    [
        ("resnet10t", 64, {}, False),
        ("test_resnet", (64, 40), {}, False),
        ("test_vit", (64, 48), {"img_size": [64, 48]}, True),
        ("vit_tiny_patch16_224", 64, {"img_size": 64}, True),
        ("test_vit", 160, {}, False),
        ("mobilenetv4_conv_small_035", 64, {}, False),
    ],
)
def test_code_of_the_card_runs(
    tmp_path: Path,
    write: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    image_px: int | tuple[int, int],
    model_args: dict[str, Any],
    resized: bool,
) -> None:
    student = student_weights(name, image_px, **model_args)
    out = tmp_path / "bundle"
    write(out, student)
    # A rotated picture with transparent parts: the card's code must decode it as training does.
    photo = Image.effect_noise((90, 70), 80).convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo.save(out / "photo.jpg", "PNG", exif=exif)
    card = (out / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(blocks) == 4
    assert ("visual.trunk = " in blocks[3]) is resized
    decode, in_timm_code, from_weights, in_open_clip_code = blocks
    code = decode + in_timm_code + "print(feature[0].tolist())\n" + from_weights + in_open_clip_code
    code += "\nprint(image[0].tolist())\n"
    (tmp_path / "code.py").write_text(code)
    monkeypatch.chdir(out)
    names = runpy.run_path(str(tmp_path / "code.py"))
    trained_on = open_rgb((out / "photo.jpg").read_bytes(), BACKGROUND)
    assert names["open_rgb"]("photo.jpg").tobytes() == trained_on.tobytes()
    lines = capsys.readouterr().out.splitlines()
    in_timm, in_open_clip = (torch.tensor(json.loads(line)) for line in (lines[-3], lines[-1]))
    torch.testing.assert_close(in_timm, in_open_clip, atol=1e-5, rtol=0)
    assert any(str(entry["label"]).startswith(lines[0]) for entry in LABELS)


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
        ("distill.bundle.plots.draw_confusions", raising(RuntimeError("no font")), "plots", "no font"),
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
    assert all((out / name).exists() for other in others for name in OPTIONAL_PARTS[other])
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
    tmp_path: Path, write: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    decode, in_timm, *_ = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    monkeypatch.chdir(out)
    (out / "photo.png").rename(out / "photo.jpg")  # decoded by content
    exec(decode + in_timm + "print(feature[0].tolist())", {})  # noqa: S102 - the code of the model card
    shown = torch.tensor(json.loads(capsys.readouterr().out.splitlines()[-1]))
    torch.testing.assert_close(shown, feature[0], atol=5e-3, rtol=0)


def test_card_names_the_weights_that_the_training_started_from(tmp_path: Path, write: Callable[..., Any]) -> None:
    initial = {"source": "timm/x.y", "file": "model.safetensors", "sha256": "0" * 64, "license": "cc-by-nc-4.0"}
    write(tmp_path / "bundle", student_weights("test_resnet", 32), provenance={"initial_weights": initial})
    card = (tmp_path / "bundle" / "README.md").read_text()
    (row,) = [line for line in card.splitlines() if line.startswith("| weights before training")]
    assert row.replace("\\", "") == "| weights before training | timm/x.y (model.safetensors), licence cc-by-nc-4.0 |"
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["made_from"]["initial_weights"] == initial


def test_weights_of_another_width_are_refused_in_one_line(tmp_path: Path, write: Callable[..., Any]) -> None:
    student = student_weights("test_resnet", 32)
    partial = {name: tensor for name, tensor in student.state.items() if name != "fc.bias"}
    reason = r"do not fit a test_resnet of width \d+: 1 tensor is missing \(first fc.bias\)$"
    with pytest.raises(BundleError, match=reason):
        write(tmp_path / "bundle", replace(student, state=partial))
