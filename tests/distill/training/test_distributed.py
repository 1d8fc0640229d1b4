"""Several ranks: losses and gradients of one process with the whole batch, and one bundle of the run."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distill.bundle.verify import verify_bundle
from distill.training.distributed import RankGroup, current_ranks, join_ranks
from tests.distill.helpers_train import run, sgd_config, weights

LABELS = ("blue jay", "crane", "heron", "red finch")


@pytest.mark.nightly
def test_two_ranks_equal_one_process_and_write_one_bundle(
    tmp_path: Path, tiny_clip: Path, make_images: Callable[..., list[Path]]
) -> None:
    for at, label in enumerate(LABELS):
        make_images(tmp_path / "images" / label.replace(" ", "_"), 8, seed=at)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    settings = ("image_px=32", "threads=1", "epochs=1", "batch_size=4", "device=cpu", "num_workers=1")
    arguments = ["--images", "images", "--labels", "labels.txt", "--teacher", f"local-dir:{tiny_clip}", "--out", "out"]
    arguments += ["--student", "test_resnet", *(word for setting in settings for word in ("--set", setting))]
    (tmp_path / "arguments.json").write_text(json.dumps(arguments))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, "-m", "tests.distill.two_ranks", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    single, steps = run(sgd_config())
    ranks = [load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1)]
    for step, losses in zip(steps, json.loads((tmp_path / "losses.json").read_text()), strict=True):
        assert losses == pytest.approx(dict(step.losses), abs=1e-5)
    parts, in_parts = load_file(tmp_path / "parts.safetensors"), weights(run(sgd_config(im_cst=0, affinity=0))[0])
    for name, tensor in weights(single).items():
        assert torch.equal(ranks[0][name], ranks[1][name])
        torch.testing.assert_close(ranks[0][name], tensor, rtol=0, atol=1e-5)
        torch.testing.assert_close(parts[name], in_parts[name], rtol=0, atol=1e-5)
    # One process can resume from the state of two ranks.
    resumed, more = run(sgd_config(), resume=tmp_path / "state")
    assert more == []
    assert all(torch.equal(weights(resumed)[name], tensor) for name, tensor in ranks[0].items())

    verify_bundle(tmp_path / "out" / "bundle")
    assert done.stdout.count("bundle: out/bundle") == 1
    assert done.stderr.count("trained 3 steps") == 1
    assert list((tmp_path / "out" / "work" / "events").iterdir())


@pytest.mark.nightly
def test_three_ranks_resume_with_the_same_bits(tmp_path: Path) -> None:
    """The order in which three ranks sum a gradient depends on where it lies in a bucket."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    subprocess.run(
        [*launch, "-m", "tests.distill.resumed_ranks", str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    undisturbed, resumed = (load_file(tmp_path / f"{name}.safetensors") for name in ("undisturbed", "resumed"))
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in undisturbed.items())


def test_single_process_is_one_rank() -> None:
    with join_ranks() as ranks:
        assert ranks is current_ranks()
        assert (ranks.rank, ranks.world_size, ranks.is_first) == (0, 1, True)
        assert ranks.any(True)
        assert not ranks.any(False)


def test_ranks_split_a_batch_in_rank_order() -> None:
    rows = list(range(12))
    shares = [rows[RankGroup(rank, 3).batch_rows(12)] for rank in range(3)]
    assert [row for share in shares for row in share] == rows
    assert {len(share) for share in shares} == {4}
    assert RankGroup(2, 3, local_rank=2).device(torch.device("cuda")) == torch.device("cuda", 2)
