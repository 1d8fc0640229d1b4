"""What a child process and its parent agree on: exit code, stack on request, temporary folders. Imports no psutil.

The handler of `STACK_SIGNAL` is C code, so that it also works while the main thread waits in a system call.
"""

import faulthandler
import shutil
import signal
from pathlib import Path

STACK_SIGNAL = signal.SIGUSR1
NOT_AVAILABLE = 4
"""The exit code of a child whose part another process has claimed, or which has ended."""


def write_stack_on_signal(path: str) -> None:
    """From now on, `STACK_SIGNAL` appends the stack of the main thread to a file."""
    file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (open as long as the process)
    faulthandler.register(STACK_SIGNAL, file=file, all_threads=False)


def innermost_frames(dump: str, limit: int = 4) -> str:
    """The last calls in a dump, innermost first: `data/decode.py:12 read < data/image_store.py:80 load`."""
    frames = [line.strip() for line in dump.splitlines() if line.strip().startswith("File ")]
    return " < ".join(_shortened(frame) for frame in frames[:limit])


def _shortened(frame: str) -> str:
    """`File "/opt/limbeck/distill/data/decode.py", line 12 in read` -> `data/decode.py:12 read`."""
    path, _, rest = frame.removeprefix("File ").partition(", line ")
    line, _, function = rest.partition(" in ")
    return f"{'/'.join(Path(path.strip(chr(34))).parts[-2:])}:{line} {function}"


def scratch_prefix(token: str) -> str:
    """The start of the name of the temporary folders of an attempt, in the cache folder."""
    return f"part-{token}-"


def remove_scratch(cache: Path, token: str) -> None:
    """Delete the temporary folders of an attempt whose process was killed."""
    for folder in cache.glob(f"{scratch_prefix(token)}*"):
        shutil.rmtree(folder, ignore_errors=True)
