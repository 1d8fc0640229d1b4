"""`python -m tests.golden.record [NAME …]`: record the golden files again from the current code.

NAME is one of the names in `PARTS`. Without a name, all files are written.
"""

import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.golden import api, cli, exports, files, keys, training

PARTS: Mapping[str, Callable[[Path], Any]] = {
    "api.json": api.surface,
    "cli.json": cli.surface,
    "weights.json": training.weights,
    "losses.json": training.losses,
    "export.json": exports.record,
    "cache_keys.json": keys.record,
}
"""Golden file → the function that computes its content, given an empty folder to work in."""


def main(names: Sequence[str]) -> int:
    """Write the golden files with these names. Returns the exit code."""
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        print(f"{', '.join(unknown)}: there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    for name in names or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            files.write(name, PARTS[name](Path(folder)))
        print(f"recorded {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
