"""A whole run without the service: folders of images and a list of labels in, the bundle of a measured student out.

    python -m distill --images DIR --labels labels.txt --attributes set.json --teacher local-dir:DIR --text sentence \\
        --student resnet18 --recipe limbeck --out DIR --set epochs=10 --set losses.mse=0

The folder `--out` receives `bundle/` (the checkpoint, see `distill.bundle.write`), `report.json` (accuracies of student
and teacher) and `work/` (the training state to resume from, and `events` for TensorBoard). The same command resumes an
interrupted run. On several GPUs of a machine: `torchrun --standalone --nproc-per-node 2 -m distill …`. Exit codes: 0;
2, with one line on standard error, for unusable input; 1 if training fails; 130 if the run was stopped.
"""

import os
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from distill import Stopped
from distill.cli.arguments import argument_parser, validate_arguments
from distill.cli.stop_signal import StopSignal
from distill.training.process_environment import restart_with_environment


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    namespace = argument_parser("python -m distill", (__doc__ or "").partition("\n")[0]).parse_args(argv)
    should_stop = StopSignal()
    try:
        arguments = validate_arguments(namespace)
        # Import torch only after the input was checked, so that a typing error is reported at once.
        from distill.cli.run import run_distillation

        run_distillation(arguments, should_stop=should_stop)
    except Stopped as stopped:
        _print_error(f"stopped: {stopped}; run the same command again to resume")
        return 130
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        _print_error(f"error: {place}{first['msg'].removeprefix('Value error, ')}")
        return 2
    except (ValueError, OSError) as error:
        _print_error(f"error: {error}")
        return 2
    except RuntimeError as error:
        # A teacher or images that cannot be obtained are bad input; any other error is a failed run.
        _print_error(f"error: {error}")
        return 2 if type(error).__name__ in ("TeacherError", "ImagesError") else 1
    finally:
        should_stop.restore()
    return 0


def _print_error(text: str) -> None:
    # Under torchrun every process meets the same error; only the first one prints it.
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)


if __name__ == "__main__":
    restart_with_environment()
    sys.exit(main())
