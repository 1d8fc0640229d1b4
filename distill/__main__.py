"""The whole run without the service: folders of images and a list of labels in, a measured student's bundle out.

    python -m distill --images DIR --labels labels.txt --attributes set.json --teacher local-dir:DIR --text sentence \\
        --student resnet18 --recipe limbeck --out DIR --set epochs=10 --set losses.mse=0

DIR given as `--out` holds `bundle/` (the checkpoint, see `distill.bundle.write`), `report.json` (accuracies of student
and teacher) and `work/` (the state to go on from; `events`, for TensorBoard). Broken off, it goes on when it is run
again with the same words. On several GPUs of a machine: `torchrun --standalone --nproc-per-node 2 -m distill …`. Ends
with 0; with 2 and one line for input that cannot be used; with 1 if training fails; with 130 if it was stopped.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from pydantic import ValidationError

from distill import Stopped
from distill.cli.arguments import arguments, understand
from distill.training.process_environment import begin_again


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    given = arguments("python -m distill", (__doc__ or "").partition("\n")[0]).parse_args(argv)
    stop = _Stop()
    try:
        request = understand(given)
        # torch is loaded only for input that can be used: a typing error is told at once.
        from distill.cli.run import distil

        distil(request, should_stop=stop)
    except Stopped as stopped:
        _say(f"stopped: {stopped}; run it again with the same words to go on")
        return 130
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        _say(f"error: {'.'.join(map(str, first['loc']))}: {first['msg']}")
        return 2
    except (ValueError, OSError) as error:
        _say(f"error: {error}")
        return 2
    except RuntimeError as error:
        # What goes wrong in the work itself; a teacher or pictures that cannot be had are input.
        _say(f"error: {error}")
        return 2 if type(error).__name__ in ("TeacherError", "ImagesError") else 1
    finally:
        stop.restore()
    return 0


def _say(text: str) -> None:
    # Of several processes of torchrun each meets the same error; once is enough.
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)


class _Stop:
    """True once the process was asked to end; asked a second time, it ends at once."""

    def __init__(self) -> None:
        self._asked = False
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self.restore()

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self._asked


if __name__ == "__main__":
    begin_again()
    sys.exit(main())
