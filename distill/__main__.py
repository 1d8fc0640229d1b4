"""A whole run without the service: folders of images and a list of labels in, the bundle of a measured student out.

    python -m distill --images DIR --labels labels.txt --attributes set.json --teacher local-dir:DIR --text sentence \\
        --student resnet18 --recipe limbeck --out DIR --set epochs=10 --set losses.mse=0

    python -m distill evaluate BUNDLE --images DIR

The folder `--out` receives `bundle/` (the checkpoint, see `distill.bundle.write`), `report.json` (accuracies of student
and teacher) and `work/` (the training state to resume from, and `events` for TensorBoard;
`--log-to` names other loggers). The same command resumes an
interrupted run; `evaluate` measures a finished student on other images. On several GPUs of a machine:
`torchrun --standalone --nproc-per-node 2 -m distill …`. Exit codes: 0; 2, with one line on standard error, for unusable
input; 1 if training fails; 130 if the run was stopped.

This process starts the training process (`distill.cli.train_process`) with the environment that training needs
(`distill.training.process_environment`), passes signals on, and ends with its exit code; 128 + n if signal n ended it.
Under torchrun each rank does so.

    python -m distill report --images DIR --labels labels.txt

prints what lies in a folder of images (`distill.cli.commands.dataset_report`).

    python -m distill export BUNDLE --text

adds ONNX files to a finished bundle (`distill.cli.commands.export_onnx`).
"""

import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from distill.cli.exit_codes import STOPPED
from distill.training.process_environment import run_training_process

COMMANDS = {"report": "distill.cli.commands.dataset_report", "export": "distill.cli.commands.export_onnx"}
"""The module of each command that needs no training process; `evaluate` needs one."""


class Command(Protocol):
    """The module of a command."""

    def main(self, argv: Sequence[str], /) -> int:
        """Run the command with these arguments; returns the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if argv and argv[0] in COMMANDS:
        command: Command = import_module(COMMANDS[argv[0]])
        return command.main(argv[1:])
    code = run_training_process([sys.executable, "-m", "distill.cli.train_process", *argv])
    if code > 128 and code != STOPPED:
        name = signal.Signals(code - 128).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        print(f"error: {name} ended the training process{hint}; run the same command again to resume", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
