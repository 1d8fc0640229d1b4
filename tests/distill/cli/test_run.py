"""`python -m distill`: the whole run, gone on with when broken off, and one line and 2 for what cannot be used."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from distill.__main__ import main
from distill.bundle.verify import file_sha256, verify_bundle
from distill.cli.console import Console
from distill.texts.text_targets import TextTargets
from distill.training.loop import StepMetrics

LABELS = ("crane", "heron", "red finch", "blue jay")


@pytest.fixture
def words(tmp_path: Path, tiny_clip: Path, make_pictures: Callable[..., list[Path]]) -> list[str]:
    """A command line that works, on 32 pictures of 4 labels."""
    for at, label in enumerate(LABELS):
        make_pictures(tmp_path / "images" / label.replace(" ", "_"), 8, seed=at)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    (tmp_path / "set.json").write_text(json.dumps({label: ["long legs", "a grey body"] for label in LABELS[:3]}))
    return [
        *("--images", str(tmp_path / "images"), "--labels", str(tmp_path / "labels.txt")),
        *("--attributes", str(tmp_path / "set.json"), "--text", "phrases", "--teacher", f"local-dir:{tiny_clip}"),
        *("--student", "test_resnet", "--out", str(tmp_path / "out"), "--set", "image_px=32", "--set", "threads=1"),
        *("--set", "epochs=2", "--set", "batch_size=4", "--set", "device=cpu", "--set", "num_workers=2"),
    ]


def test_the_whole_run_and_again(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    said = capsys.readouterr()
    assert "training: epoch 2/2" in said.err
    assert "1 labels have nothing for phrases and are told by name alone: blue jay" in said.err
    table = said.out.splitlines()
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

    assert main(words) == 0
    again = capsys.readouterr()
    assert again.out == said.out
    assert again.err == ""


def test_another_run_in_the_same_folder_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert main([*words, "--set", "lr=0.5"]) == 2
    assert "holds a run with other config (lr)" in capsys.readouterr().err


def test_broken_off_it_goes_on_to_the_same_student(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # One cache for both: a teacher's features hang on the number of threads, which the first run leaves at its own.
    words = [*words, "--cache", str(tmp_path / "cache")]
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    steps: list[int] = []

    def step(told: Console, metrics: StepMetrics) -> None:
        steps.append(metrics.step)
        if metrics.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Console, "step", step)
    before = signal.getsignal(signal.SIGTERM)
    assert main(words) == 130
    assert "3 of 6 steps done; run it again with the same words to go on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before
    assert not (tmp_path / "out" / "report.json").exists()
    assert main(words) == 0
    assert steps == [1, 2, 3, 4, 5, 6]
    for file in ("image/model.safetensors", "evaluation.json"):
        whole, resumed = (tmp_path / name / "bundle" / file for name in ("whole", "out"))
        assert whole.read_bytes() == resumed.read_bytes()


def test_a_picture_that_changed_while_a_run_was_stopped_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Console, "step", lambda told, metrics: os.kill(os.getpid(), signal.SIGTERM))
    assert main(words) == 130
    for path in (tmp_path / "images").rglob("*.png"):
        Image.new("RGB", (40, 40), "red").save(path)
    assert main(words) == 2
    assert "is the state of another run: data.pictures was" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_student(words: list[str], tmp_path: Path) -> None:
    longer = [*words, "--set", "epochs=40", "--cache", str(tmp_path / "cache")]
    assert main([*longer, "--out", str(tmp_path / "whole")]) == 0
    state = tmp_path / "out" / "work" / "state.safetensors"
    command = [sys.executable, "-m", "distill", *longer, "--set", "save_every_s=0.1"]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as child:
        try:
            while child.poll() is None and not state.exists():
                time.sleep(0.01)
        finally:
            child.kill()
    assert child.returncode == -signal.SIGKILL
    assert not (tmp_path / "out" / "report.json").exists()
    assert main(longer) == 0
    whole, resumed = (tmp_path / name / "bundle" / "image" / "model.safetensors" for name in ("whole", "out"))
    assert whole.read_bytes() == resumed.read_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--student", "resnet81"], "error: no student is called .resnet81.; near it: resnet18"),
        (["--teacher", "ViT-B-32:nobody"], "error: no teacher is called"),
        (["--teacher", "local-dir:nowhere"], "error: .*nowhere"),
        (["--labels", "missing.txt"], "error: missing.txt cannot be read"),
        (["--images", "missing"], "error: there is no folder"),
        (["--set", "epochs"], "error: --set .epochs. is not of the form"),
        (["--set", "epochs=0"], "error: epochs: "),
        (["--set", "losses.clss=1"], "error: losses.clss: "),
        (["--split", "{"], "error: --split is not JSON"),
        (["--split", '{"by":"moon"}'], "error: .*moon"),
        (["--split", '{"by":"list","id":["crane","heron"],"ood":["heron"]}'], "error: .heron.: a label is either"),
        (
            ["--set", "protocol=fine_tune", "--set", "shots=1"],
            "error: protocol fine_tune .* bundle by --start",
        ),
        (["--start", "."], "error: --start is for protocol fine_tune"),
        (["--start", ".", "--set", "protocol=fine_tune", "--set", "shots=1"], "error: --start . holds no manifest"),
        (["--captions", "nowhere"], "error: --captions nowhere cannot be read"),
        (["--set", "losses.cap=1"], "error: losses.cap has a weight, and none of 12 images has a caption"),
        (["--set", "protocol=retrieval", "--set", "shots=8"], "error: 8 shots and an image to test on"),
        (["--student", "edgenext_xx_small", "--set", "image_px=24"], "error: edgenext_xx_small does not take"),
    ],
)
def test_input_that_cannot_be_used_is_one_line_and_2(
    words: list[str], change: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *change]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert re.search(says, lines[-1]), lines[-1]


def test_protocols_from_one_student_to_the_next(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once = [*words, "--set", "epochs=1", "--cache", str(tmp_path / "cache")]
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


def test_enriched_text_needs_attributes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    without = words[: words.index("--attributes")] + words[words.index("--text") :]
    assert main(without) == 2
    assert "--text phrases needs --attributes" in capsys.readouterr().err


def test_a_folder_with_something_else_in_it_is_left_alone(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert main(words) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_full_disk_costs_a_state_and_not_the_run(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit on a file's size is the one way to a write that fails in the system without a disk of one's own."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    state = tmp_path / "out" / "work" / "state.safetensors"
    kept: list[bytes] = []

    def step(told: Console, metrics: StepMetrics) -> None:
        if metrics.step == 3:
            kept.append(state.read_bytes())
            resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, limits[1]))
        if metrics.step == 5:
            assert state.read_bytes() == kept[0]
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    monkeypatch.setattr(Console, "step", step)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        assert main([*words, "--set", "save_every_s=0.000001"]) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert capsys.readouterr().err.count("state not saved") == 2
    assert state.read_bytes() != kept[0]
    assert [path.name for path in state.parent.glob(".state*")] == []
