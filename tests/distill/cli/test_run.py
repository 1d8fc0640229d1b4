"""The training process: the whole run, resuming an interrupted run, and one line and exit code 2 for unusable input."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill.bundle.verify import file_sha256, verify_bundle
from distill.cli.console import Console
from distill.cli.train_process import main
from distill.texts.text_targets import TextTargets
from distill.training.metrics import StepMetrics
from tests.images import tiny_image


@pytest.mark.slow
def test_whole_run_is_not_repeated(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0
    first = capsys.readouterr()
    assert "training: epoch 2/2" in first.err
    assert "1 labels have no attributes for phrases; their names alone are used: blue jay" in first.err
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
    for path in (tmp_path / "images").rglob("*.png"):
        path.write_bytes(tiny_image(str(path)))
    assert main(command) == 2
    assert "is the state of another run: data.pictures was" in capsys.readouterr().err


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
