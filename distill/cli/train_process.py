"""The training process of `python -m distill`, which starts it with the environment that training needs.

    python -m distill.cli.train_process …
    python -m distill.cli.train_process evaluate …

It takes the same arguments and has the same exit codes. The first SIGINT or SIGTERM makes it save its state and end.
"""

import io
import sys
from collections.abc import Callable, Sequence

from distill.cli.arguments import read_arguments
from distill.cli.commands.evaluate_arguments import read_evaluate_arguments
from distill.cli.exit_codes import exit_code
from distill.cli.stop_signal import StopSignal
from limbeck.shared.child_process import exit_after_parent
from limbeck.shared.parts import exit_if_not_installed

GRACE_S = 45.0
"""How long a training may take to save its state after its parent was killed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the distillation in this process; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a label or file name that a terminal cannot show never ends a run
            stream.reconfigure(errors="backslashreplace")
    should_stop = StopSignal()
    try:
        return exit_code(lambda: _run(argv, should_stop))
    finally:
        should_stop.restore()


def _run(argv: Sequence[str], should_stop: Callable[[], bool]) -> None:
    if argv[:1] == ["evaluate"]:
        evaluate_arguments = read_evaluate_arguments(argv[1:])
        exit_if_not_installed("gpu", "python -m distill evaluate")
        from distill.cli.commands.evaluate import run_evaluation

        run_evaluation(evaluate_arguments, should_stop=should_stop)
        return
    arguments = read_arguments(argv)
    exit_if_not_installed("gpu", "python -m distill")
    # Import torch only after the input was checked, so that a typing error is reported at once.
    from distill.cli.run import run_distillation

    run_distillation(arguments, should_stop=should_stop)


if __name__ == "__main__":
    exit_after_parent(GRACE_S)
    sys.exit(main())
