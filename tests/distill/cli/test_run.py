"""The training process: the whole run, resuming an interrupted run, and one line and exit code 2 for unusable input."""

import errno
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from PIL import Image

from distill.bundle.verify import file_sha256, verify_bundle
from distill.cli.console import Console
from distill.cli.train_process import main
from distill.evaluation.accuracy import Evaluation
from distill.hooks import PipelineHooks
from distill.pipeline import measure_student
from distill.teacher.errors import TeacherError
from distill.texts.text_targets import TextTargets
from distill.training.metrics import StepMetrics
from limbeck.shared.images.file_names import shown_path
from tests.distill.bundle.onnx.encoders import mean_colour_encoder
from tests.images import tiny_image


def raising(error: Exception) -> Any:
    """A function that raises `error`."""

    def fail(*_arguments: Any, **_named: Any) -> None:
        raise error

    return fail


@pytest.mark.slow
def test_whole_run_is_not_repeated(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command += ["--set", "losses.phrase_kl=1", "--set", "tuned_teacher=10"]
    assert main(command) == 0
    first = capsys.readouterr()
    assert "training: epoch 2/2" in first.err
    assert "a bank of 2 attribute phrases (seen labels)" in first.err
    assert re.search(r"the tuned teacher: seen labels [\d.]+% -> [\d.]+%, unseen labels [\d.]+% -> [\d.]+%", first.err)
    assert "1 label has no attributes for phrases; their names alone are used: blue jay" in first.err
    assert "24 tokens, weights open_clip_model.safetensors (" in first.err
    table = first.out.splitlines()
    assert [line.split()[0] for line in table[1:5]] == ["teacher", "teacher", "student", "chance"]
    bundle = tmp_path / "out" / "bundle"
    verify_bundle(bundle)
    log = [json.loads(line) for line in (bundle / "training.jsonl").read_text().splitlines()]
    steps = [line for line in log if "loss" in line]
    assert steps[-1]["step"] == steps[-1]["total_steps"] == len(steps)
    evaluation = json.loads((bundle / "evaluation.json").read_text())
    assert evaluation["text"] == "phrases"
    assert [one["text"] for one in evaluation["teacher"]] == ["names", "phrases"]
    epochs = [line["accuracy"]["ood"] for line in log if "accuracy" in line]
    assert evaluation["last_epochs"]["epochs"] == [1, 2]
    assert evaluation["last_epochs"]["ood_accuracy"] == pytest.approx(sum(epochs) / 2)
    assert evaluation["ood"]["accuracy"] == epochs[-1]
    assert evaluation["ood"]["agreement"]["num_images"] == evaluation["ood"]["num_images"]
    assert evaluation["teacher"][0]["ood"]["agreement"] is None
    assert "Mean over the last 2 epochs" in (bundle / "README.md").read_text()

    assert main(command) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err == ""


@pytest.mark.slow
def test_different_run_in_the_same_folder_is_refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    assert main([*command, "--set", "lr=0.5"]) == 2
    assert "holds a run with a different config (lr)" in capsys.readouterr().err
    # A run of an earlier release lacks settings that have been added since; it had their defaults.
    identity = Path(command[command.index("--out") + 1]) / "work" / "request.json"
    earlier = json.loads(identity.read_text(encoding="utf-8"))
    del (
        earlier["config"]["background"],
        earlier["config"]["losses"]["phrase_kl"],
        earlier["config"]["augmentation"]["erase"],
    )
    identity.write_text(json.dumps(earlier), encoding="utf-8")
    assert main([*command, "--set", "background=black"]) == 2
    assert "holds a run with a different config (background)" in capsys.readouterr().err
    assert main(command) == 0


@pytest.mark.slow
def test_stopped_run_resumes_to_the_same_student(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One cache for both runs: teacher features depend on the number of threads, which the first run changes.
    command = [*command, "--cache", str(tmp_path / "cache")]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    steps: list[int] = []

    def step(console: Console, metrics: StepMetrics) -> None:
        steps.append(metrics.step)
        if metrics.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Console, "step", step)
    before = signal.getsignal(signal.SIGTERM)
    assert main(command) == 130
    assert "3 of 6 steps done; run the same command again to resume" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (tmp_path / "out" / "report.json").exists()
    assert main(command) == 0
    assert steps == [1, 2, 3, 4, 5, 6]
    for file in ("image/model.safetensors", "evaluation.json"):
        whole, resumed = (tmp_path / name / "bundle" / file for name in ("whole", "out"))
        assert whole.read_bytes() == resumed.read_bytes()


@pytest.mark.slow
def test_changed_images_are_refused_on_resume(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "step", lambda console, metrics: os.kill(os.getpid(), signal.SIGTERM))
    assert main(command) == 130
    changed = list((tmp_path / "images").rglob("*.png"))
    for path in changed:
        path.write_bytes(tiny_image(str(path)))
    assert main(command) == 2
    assert f"holds a run on other pictures: the content of {len(changed)} of 32 images has" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.image_input(
    "Files, folders and shards",
    "images that changed after a run was finished or interrupted, in training or to measure on",
    "the command ends with an error that names them; the old report is not printed",
)
def test_finished_run_is_not_reported_for_other_pictures(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*command, "--set", "epochs=1", "--set", "measured_epochs=0"]
    assert main(command) == 0
    table = capsys.readouterr().out
    held_out = sorted((tmp_path / "images").rglob("*.png"))[-1]
    status, original = held_out.stat(), held_out.read_bytes()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    Image.new("RGB", (40, 40), "red").save(held_out)
    content = held_out.read_bytes()
    held_out.write_bytes(content + bytes(max(0, len(original) - len(content))))
    os.utime(held_out, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert main(command) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    name = held_out.relative_to(tmp_path / "images")
    assert f"the content of 1 of 32 images has changed ({name}): restore the files" in captured.err
    held_out.write_bytes(original)
    assert main(command) == 0
    assert capsys.readouterr().out == table


@pytest.mark.slow
@pytest.mark.image_input(
    "Files, folders and shards",
    "a whole run on names that are not UTF-8, printed to a terminal for ASCII",
    "training, report and bundle are complete; the names are shown escaped",
)
def test_names_of_any_bytes_do_not_lose_a_run(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, path in enumerate(sorted((tmp_path / "images").rglob("*.png"))):
        path.rename(path.with_name(os.fsdecode(b"caf\xe9\n%d.png" % number)))
    (tmp_path / "images" / "crane" / os.fsdecode(b"bad\xff.png")).write_bytes(b"no image")
    images = tmp_path / os.fsdecode(b"bilder \xe4")
    (tmp_path / "images").rename(images)
    command = [*command, "--images", str(images)]
    ascii_out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", ascii_out)
    out = tmp_path / "größe"
    latin1 = tmp_path / os.fsdecode("größe".encode("latin-1"))
    assert main([*command, "--out", str(latin1)]) == 2
    assert r"gr\xf6\xdfe is not UTF-8: give a folder" in capsys.readouterr().err
    assert main([*command, "--set", "epochs=1", "--set", "measured_epochs=0", "--out", str(out)]) == 0
    ascii_out.flush()
    assert rb"gr\xf6\xdfe/bundle" in ascii_out.buffer.getvalue()
    assert r"such as crane/bad\xff.png" in capsys.readouterr().err
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [path.rpartition("/")[2] for path in report["bad_images"]] == [r"bad\xff.png"]
    verify_bundle(out / "bundle")


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_student(command: list[str], tmp_path: Path) -> None:
    longer = [*command, "--set", "epochs=40", "--cache", str(tmp_path / "cache")]
    assert main([*longer, "--out", str(tmp_path / "whole")]) == 0
    state = tmp_path / "out" / "work" / "state.safetensors"
    command = [sys.executable, "-m", "distill", *longer, "--set", "save_every_s=0.1"]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE) as parent:
        try:
            while parent.poll() is None and not state.exists():
                time.sleep(0.01)
        finally:
            parent.kill()
        _, messages = parent.communicate(timeout=60)  # the training process has the pipe until it ends
    assert parent.returncode == -signal.SIGKILL
    assert b"run the same command again to resume" in messages
    assert not (tmp_path / "out" / "report.json").exists()
    assert main(longer) == 0
    whole, resumed = (tmp_path / name / "bundle" / "image" / "model.safetensors" for name in ("whole", "out"))
    assert whole.read_bytes() == resumed.read_bytes()


@pytest.mark.slow
def test_protocols_of_one_student_after_another(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = [*command, "--set", "epochs=1", "--cache", str(tmp_path / "cache")]
    prompted = [*once, "--set", "context_tokens=2"]
    assert main([*prompted, "--set", "protocol=retrieval", "--set", "shots=2", "--out", str(tmp_path / "zero")]) == 0
    assert "with retrieval" in capsys.readouterr().out
    bundle = tmp_path / "zero" / "bundle"
    evaluation = json.loads((bundle / "evaluation.json").read_text())
    assert evaluation["retrieval"]["num_images"] == evaluation["ood"]["num_images"] == 12
    assert TextTargets.load(bundle / "targets" / "text_targets.safetensors").context is not None

    few = [*prompted, "--start", str(bundle), "--set", "protocol=fine_tune", "--set", "shots=2"]
    assert main([*few, "--out", str(tmp_path / "few")]) == 0
    evaluation = json.loads((tmp_path / "few" / "bundle" / "evaluation.json").read_text())
    assert evaluation["ood"]["num_images"] == evaluation["teacher"][0]["ood"]["num_images"] == 12
    made_from = json.loads((tmp_path / "few" / "bundle" / "manifest.json").read_text())["made_from"]
    assert made_from["digests"]["start"] == file_sha256(bundle / "image" / "model.safetensors")

    assert main([*once, "--set", "protocol=closed_set", "--out", str(tmp_path / "closed")]) == 0
    assert "bundle:" not in capsys.readouterr().out.splitlines()[-1]
    report = json.loads((tmp_path / "closed" / "report.json").read_text())
    assert report["student"]["ood"] is None
    assert report["student"]["id"]["num_labels"] == 2


def test_folder_with_other_files_is_refused(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert main(command) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_full_disk_loses_a_state_but_not_the_run(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RLIMIT_FSIZE makes writes fail in the operating system, without a disk of limited size."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    state = tmp_path / "out" / "work" / "state.safetensors"
    kept: list[bytes] = []

    def step(console: Console, metrics: StepMetrics) -> None:
        if metrics.step == 3:
            kept.append(state.read_bytes())
            resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
        if metrics.step == 5:
            assert state.read_bytes() == kept[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(Console, "step", step)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        assert main([*command, "--set", "save_every_s=0.000001"]) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert capsys.readouterr().err.count("state not saved") == 2
    assert state.read_bytes() != kept[0]
    assert [path.name for path in state.parent.glob(".state*")] == []


@pytest.mark.slow
@pytest.mark.image_input(
    "Students",
    "a run from own weights with balanced sampling, class weights and a non-square input",
    "the weights file is reported at the start and in the bundle; other weights need another folder",
)
def test_run_from_own_weights_reports_them_and_belongs_to_them(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = timm.create_model("test_resnet", num_classes=1000)
    torch.save({"state_dict_ema": own.state_dict()}, tmp_path / "own.pth")
    settings = (f"weights={tmp_path / 'own.pth'}", "image_px=[48,32]", "sampling=balanced", "class_weights=effective")
    command = [*command, "--student", "Test_ResNet.r160_in1k", "--set", "epochs=1", "--set", "view=same"]
    command += [part for setting in settings for part in ("--set", setting)]
    assert main(command) == 0
    written = capsys.readouterr().err
    digest = file_sha256(tmp_path / "own.pth")
    assert 'student "Test_ResNet.r160_in1k" is test_resnet.r160_in1k' in written
    assert f"own.pth (own.pth, sha256 {digest[:12]}, licence unknown), a new head of 32 outputs" in written
    made_from = json.loads((tmp_path / "out" / "bundle" / "manifest.json").read_text())["made_from"]
    assert made_from["initial_weights"]["sha256"] == digest
    image = json.loads((tmp_path / "out" / "bundle" / "image" / "config.json").read_text())
    assert image["architecture"] == "test_resnet"
    assert image["pretrained_cfg"]["input_size"] == [3, 48, 32]
    (tmp_path / "own.pth").rename(tmp_path / "moved.pth")
    command[command.index(settings[0])] = f"weights={tmp_path / 'moved.pth'}"
    assert main(command) == 0
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "moved.pth")
    assert main(command) == 2
    assert "holds a run with a different weights" in capsys.readouterr().err


@pytest.mark.slow
def test_student_that_cannot_be_built_ends_the_run_before_any_text_is_encoded(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.pth").write_bytes(b"")
    for setting, message in {
        "model_args.no_such_arg=1": "cannot be built with model_args no_such_arg=1",
        f"weights={tmp_path / 'own.pth'}": "own.pth is empty: copy it again",
    }.items():
        assert main([*command, "--out", str(tmp_path / "other"), "--set", setting]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "texts (" not in error
        shutil.rmtree(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.image_input(
    "Students",
    "a transformer at a size that is not its own",
    "its pairing loads in open_clip after one more line of code, which the model card shows",
)
def test_the_bundle_is_tried_before_the_training(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is encoded or trained for a run that cannot end; what open_clip cannot load is known at the start."""
    once = [*command, "--student", "test_vit", "--set", "image_px=64", "--set", "epochs=1"]
    with monkeypatch.context() as patched:
        patched.setattr("distill.bundle.preflight.verify_image", raising(RuntimeError("size mismatch")))
        patched.setattr("distill.cli.run_texts.encode_text_targets", raising(AssertionError("encoded too early")))
        assert main(once) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: a trained test_vit of 64 px could not be loaded again with timm (size mismatch): set image_px to 160, "
        "its own size, or choose another student"
    )
    with monkeypatch.context() as patched:
        patched.setattr("distill.bundle.pairing.load_pairing", raising(RuntimeError("no such layer")))
        assert main(once) == 0
    messages = capsys.readouterr().err
    warning = "no pairing (open_clip cannot load test_vit (no such layer))"
    assert messages.index(warning) < messages.index("training: epoch 1/1")
    bundle = tmp_path / "out" / "bundle"
    left_out = {"pairing": "open_clip cannot load test_vit (no such layer)"}
    assert verify_bundle(bundle)["left_out"] == left_out
    assert json.loads((tmp_path / "out" / "report.json").read_text())["left_out"] == left_out
    assert not (bundle / "pairing").exists()

    # Another folder with another cache: open_clip can load it, by the code of the model card.
    assert main([*once, "--out", str(tmp_path / "whole")]) == 0
    assert "timm and open_clip reproduce the student's features" in capsys.readouterr().err
    assert "visual.trunk = timm.create_model" in (tmp_path / "whole" / "bundle" / "README.md").read_text()


@pytest.mark.slow
def test_a_failure_after_the_training_does_not_train_again(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*command, "--cache", str(tmp_path / "cache"), "--set", "average=ema"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 0
    full = OSError(errno.ENOSPC, "No space left on device", "bundle")
    steps: list[int] = []
    monkeypatch.setattr(Console, "step", lambda _, metrics: steps.append(metrics.step))
    for place, error in (
        ("distill.cli.run.measure_student", TeacherError("teacher_not_found", "the teacher is gone")),
        ("distill.bundle.write.write_image", full),
        ("distill.cli.run.accuracy_table", full),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, raising(error))
            capsys.readouterr()
            assert main(command) == 2
        messages = capsys.readouterr().err
        assert place.endswith("accuracy_table") or "the training is complete and saved in" in messages
    assert main(command) == 0
    assert steps == [1, 2, 3, 4, 5, 6]
    whole, resumed = (tmp_path / name / "bundle" for name in ("whole", "out"))
    for file in ("image/model.safetensors", "pairing/open_clip_model.safetensors", "evaluation.json"):
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()
    assert json.loads((tmp_path / "out" / "report.json").read_text())["left_out"] == {}


def test_other_files_in_the_place_of_the_bundle_are_refused_at_the_start(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def add_a_file(console: Console, text: str) -> None:
        (tmp_path / "out" / "bundle").mkdir(exist_ok=True)
        (tmp_path / "out" / "bundle" / "notes.txt").write_text("mine")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Console, "message", add_a_file)
        assert main(command) == 2
    assert "bundle holds files that are no bundle: move them away" in capsys.readouterr().err
    assert not (tmp_path / "out" / "work" / "state.safetensors").exists()


@pytest.mark.slow
def test_names_of_files_that_are_not_utf_8_do_not_lose_the_run(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = Path("crane") / os.fsdecode(b"b\xe4d.png")

    def measure_and_report(*arguments: Any, hooks: PipelineHooks, **named: Any) -> Evaluation:
        hooks.bad_images[image] = "truncated"
        return measure_student(*arguments, hooks=hooks, **named)

    monkeypatch.setattr("distill.cli.run.measure_student", measure_and_report)
    assert main([*command, "--set", "epochs=1"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["bad_images"] == {shown_path(image): "truncated"}
    capsys.readouterr()
    out = tmp_path / os.fsdecode(b"b\xe4ume")
    assert main([*command, "--out", str(out)]) == 2
    assert r"b\xe4ume is not UTF-8: give a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_the_onnx_files_of_a_run_are_tried_written_and_measured(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a graph in place of the student's, because torch takes seconds to export one."""
    monkeypatch.setattr("distill.bundle.onnx.files.image_encoder", lambda *_: mean_colour_encoder(width=32, px=32))
    monkeypatch.setattr("distill.bundle.onnx.files.check_cosine", lambda *_: None)
    assert main([*command, "--set", "onnx=true", "--set", "epochs=1", "--set", "measured_epochs=0"]) == 0
    assert "timm, open_clip and ONNX Runtime reproduce the student's features" in capsys.readouterr().err
    bundle = tmp_path / "out" / "bundle"
    assert "onnx/image-int8.onnx" in {file["path"] for file in verify_bundle(bundle)["files"]}
    evaluation = json.loads((bundle / "evaluation.json").read_text())
    assert evaluation["onnx"] == json.loads((bundle / "onnx/config.json").read_text())["int8"]
    for part in ("id", "ood"):
        assert evaluation["onnx"][part]["num_images"] == evaluation[part]["num_images"]
    assert not {"none_of_these", "none_of_these_by_score"} & set(evaluation)  # too few images


def test_the_text_encoder_needs_the_onnx_files(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--text-onnx"]) == 2
    assert "text_onnx needs the ONNX files of the student: leave onnx at true" in capsys.readouterr().err
