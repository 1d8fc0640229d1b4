"""The benchmark's parts that can go wrong without being noticed: what is compared must do the same work."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import distill, plain
from distill.data.counter_rng import Ints
from distill.evaluation.accuracy import evaluate


def test_prompts_are_as_long_as_enriched_ones_and_some_repeat() -> None:
    prompts = distill.described(100)
    assert len(prompts) == 100
    assert len(set(prompts)) == 90
    assert all(23 <= len(prompt.split(" . ")[1].split()) <= 33 for prompt in prompts)


def test_the_plain_loop_trains_on_the_pictures(tmp_path: Path) -> None:
    paths = distill.jpegs(tmp_path, 4)
    assert 20_000 < paths[0].stat().st_size < 200_000
    loaded, row = plain.JpegDataset(paths)[3]
    assert (tuple(loaded.shape), row) == ((3, 256, 256), 3)
    asked = distill.BenchmarkSizes(images=4, steps=1, batch=2, prompts=1, evaluated=1, registered=1)
    given = distill.config(asked, student="test_resnet", image_px=32, device="cpu")
    data = distill.made_up(np.zeros((4, 256, 256, 3), dtype=np.uint8), 4, width=8, num_labels=2)
    ticks = list(
        plain.epochs(given, paths, data.labels, data.teacher[:, 0], data.texts, steps=3, device=torch.device("cpu"))
    )
    assert len(ticks) == 3
    assert ticks == sorted(ticks)


def test_loops_are_timed_over_the_steps_asked_for() -> None:
    asked = distill.BenchmarkSizes(images=8, steps=2, batch=4, prompts=1, evaluated=1, registered=1)
    given = distill.config(asked, student="test_resnet", image_px=32, device="cpu", threads=1)
    data = distill.made_up(np.zeros((8, 37, 37, 3), dtype=np.uint8), 8, width=8, num_labels=2)
    seconds, wait = distill.our_loop(given, data, 2)
    assert 0 < seconds < 30
    assert 0 <= wait <= 1
    assert 0 < distill.bare_loop(given, data, 2) < 30
    ours, bare = distill.in_turns(given, data, 2)
    assert [len(ours), len(bare)] == [2, 2]
    assert min(*ours, *bare) > 0


def test_rows_say_what_they_are_and_a_miss_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        distill,
        "ROWS",
        {
            "good": lambda asked: iter([distill.Figure("good", "1", "2", True)]),
            "bad": lambda asked: iter([distill.Figure("bad", "1", "0", False)]),
            "none": lambda asked: iter([distill.Figure("none", "1", "skipped: no GPU", None)]),
        },
    )
    assert distill.main(["--only", "good,none"]) == 0
    assert distill.main(["--only", "good,bad"]) == 1
    assert "MISSED" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        distill.main(["--only", "better"])


@pytest.mark.skipif(distill.CUDA, reason="there is a GPU")
def test_what_needs_a_gpu_says_so() -> None:
    asked = distill.BenchmarkSizes(images=1, steps=1, batch=2, prompts=1, evaluated=1, registered=1)
    (figure,) = distill.gpu_row(asked)
    assert (figure.measured, figure.ok) == ("skipped: no GPU", None)


def test_evaluation_keeps_up_with_many_labels() -> None:
    """Comparing 20,000 images with 1,000 labels is cheap beside any forward pass that could have made them."""
    labels: Ints = np.arange(20_000, dtype=np.int64) % 1000
    found = evaluate(
        "names",
        torch.randn(20_000, 32),
        labels,
        torch.randn(1000, 32),
        names=[f"label {at}" for at in range(1000)],
        id_labels=range(500),
        ood_labels=range(500, 1000),
    )
    assert found.joint is not None
    assert found.joint.num_labels == 1000
    assert found.id is not None
    assert found.id.accuracy < 0.02
