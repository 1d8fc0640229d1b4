"""Script of each rank of a nightly test: `torchrun -m tests.distill.resumed_ranks OUT`.

Trains without a stop, and again with a stop after five steps from whose state it resumes.
"""

import sys
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save_file

from distill import Stopped
from distill.training.distributed import join_ranks
from distill.training.loop import TrainResult, train
from tests.distill.helpers_train import hooks_stopping_after, small_config, small_data


def run(out: Path) -> None:
    config, data = small_config(student="test_vit", epochs=4, batch_size=12), small_data(num_images=48)
    with join_ranks() as ranks:
        undisturbed = train(config, data)
        with suppress(Stopped):
            train(config, data, hooks=hooks_stopping_after(5, out / "state"))
        ranks.wait()
        resumed = train(config, data, resume=out / "state")
        if ranks.is_first:
            _save(undisturbed, out / "undisturbed.safetensors")
            _save(resumed, out / "resumed.safetensors")


def _save(result: TrainResult, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in result.student.model.state_dict().items()}, path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Path(sys.argv[1]))
