"""Script of each of two ranks in `test_distributed.py`: `torchrun -m tests.distill.two_ranks OUT`.

Trains a student without batch norm for two steps of plain SGD, whose weights show the gradients, and then runs the
command line in `OUT/arguments.json`.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from distill.cli.train_process import main
from distill.config.recipes import variant
from distill.training.distributed import join_ranks
from distill.training.hooks import TrainHooks
from distill.training.loop import train
from distill.training.metrics import StepMetrics
from tests.distill.helpers_train import sgd_config, small_data


def run(out: Path) -> int:
    steps: list[StepMetrics] = []
    with join_ranks() as ranks:
        assert ranks.world_size == 2
        assert [ranks.any(ranks.rank == 1), ranks.any(False)] == [True, False]
        result = train(
            sgd_config(), small_data(), hooks=TrainHooks(on_step=steps.append, save=lambda write: write(out / "state"))
        )
        assert len(steps) == (2 if ranks.is_first else 0)
        state = {name: tensor.contiguous() for name, tensor in result.student.model.state_dict().items()}
        save_file(state, out / f"rank{ranks.rank}.safetensors")
        if ranks.is_first:
            (out / "losses.json").write_text(json.dumps([dict(step.losses) for step in steps]))
        parts = variant(sgd_config(im_cst=0, affinity=0), accumulate=2)
        in_parts = train(parts, small_data()).student.model.state_dict()
        if ranks.is_first:
            save_file({name: tensor.contiguous() for name, tensor in in_parts.items()}, out / "parts.safetensors")
        return main(json.loads((out / "arguments.json").read_text()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(run(Path(sys.argv[1])))
