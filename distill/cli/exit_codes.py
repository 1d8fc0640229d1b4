"""The exit code of a command, and one line on standard error for each way in which it can end early.

0: done. 1: the run failed. 2: unusable input. 130: stopped. Imports no torch.
"""

import os
import sys
from collections.abc import Callable

from pydantic import ValidationError

from distill import Stopped

STOPPED = 130


def exit_code(action: Callable[[], object]) -> int:
    """Call `action`, print the error that it raises, and return the exit code."""
    try:
        action()
    except Stopped as stopped:
        _print_error(f"stopped: {stopped}; run the same command again to resume")
        return STOPPED
    except KeyboardInterrupt:
        _print_error("stopped")
        return STOPPED
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        _print_error(f"error: {place}{first['msg'].removeprefix('Value error, ')}")
        return 2
    except OSError as error:
        _print_error(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
        return 2
    except ValueError as error:
        _print_error(f"error: {' '.join(str(error).split())}")
        return 2
    except RuntimeError as error:
        # A teacher or images that cannot be obtained are bad input; any other error is a failed run.
        _print_error(f"error: {' '.join(str(error).split())}")
        return 2 if type(error).__name__ in ("TeacherError", "ImagesError") else 1
    return 0


def _print_error(text: str) -> None:
    # Under torchrun every process meets the same error; only the first one prints it.
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)
