"""Parts of the benchmark whose errors would go unnoticed: both sides of a comparison must do the same work."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import distill, plain
from benchmarks.measurement import Measurement
from distill.data.counter_rng import Ints
from distill.evaluation.accuracy import evaluate


def test_prompt_length_and_repeats() -> None:
    prompts = distill.synthetic_prompts(100)
    assert len(prompts) == 100
    assert len(set(prompts)) == 90
    assert all(23 <= len(prompt.split(" . ")[1].split()) <= 33 for prompt in prompts)


@pytest.mark.slow
def test_plain_loop_trains_on_the_jpegs(tmp_path: Path) -> None:
    paths = distill.write_jpegs(tmp_path, 4, 500)
    assert 20_000 < paths[0].stat().st_size < 200_000
    loaded, row = plain.JpegDataset(paths)[3]
    assert (tuple(loaded.shape), row) == ((3, 256, 256), 3)
    sizes = distill.BenchmarkSizes(images=4, steps=1, batch=2, prompts=1, evaluated=1, registered=1)
    config = distill.config(sizes, student="test_resnet", image_px=32, device="cpu")
    data = distill.synthetic_data(np.zeros((4, 256, 256, 3), dtype=np.uint8), 4, width=8, num_labels=2)
    ticks = list(
        plain.train_steps(
            config, paths, data.labels, data.teacher[:, 0], data.texts, steps=3, device=torch.device("cpu")
        )
    )
    assert len(ticks) == 3
    assert ticks == sorted(ticks)


def test_loops_are_timed_over_the_given_steps() -> None:
    sizes = distill.BenchmarkSizes(images=8, steps=2, batch=4, prompts=1, evaluated=1, registered=1)
    config = distill.config(sizes, student="test_resnet", image_px=32, device="cpu", threads=1)
    data = distill.synthetic_data(np.zeros((8, 37, 37, 3), dtype=np.uint8), 8, width=8, num_labels=2)
    seconds, wait = distill.time_loop(config, data, 2)
    assert 0 < seconds < 30
    assert 0 <= wait <= 1
    assert 0 < distill.time_bare_loop(config, data, 2) < 30
    ours, bare = distill.time_alternating(config, data, 2)
    assert [len(ours), len(bare)] == [2, 2]
    assert min(*ours, *bare) > 0


def test_exit_code_is_1_if_a_target_is_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        distill,
        "ROWS",
        {
            "good": lambda sizes: iter([Measurement("good", "1", "2", True)]),
            "bad": lambda sizes: iter([Measurement("bad", "1", "0", False)]),
            "none": lambda sizes: iter([Measurement("none", "1", "skipped: no GPU", None)]),
        },
    )
    assert distill.main(["--only", "good,none"]) == 0
    assert distill.main(["--only", "good,bad"]) == 1
    assert "MISSED" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        distill.main(["--only", "better"])


@pytest.mark.skipif(distill.CUDA, reason="a GPU is present")
def test_gpu_row_is_skipped_without_a_gpu() -> None:
    sizes = distill.BenchmarkSizes(images=1, steps=1, batch=2, prompts=1, evaluated=1, registered=1)
    (measurement,) = distill.gpu_row(sizes)
    assert (measurement.measured, measurement.ok) == ("skipped: no GPU", None)


@pytest.mark.slow
def test_evaluation_among_many_labels() -> None:
    """20,000 images among 1,000 labels: cheap relative to the forward passes."""
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
