"""`python -m benchmarks.fanout features|cache`; exit code 1 if a target is missed."""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.fanout import cache, features
from benchmarks.load import machine


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    rates = commands.add_parser("features", help="features parts on several workers, relative to one")
    rates.add_argument("--workers", type=int, default=4)
    rates.add_argument("--images", type=int, default=2048)
    rates.add_argument("--chunk", type=int, default=256, help="images per part")
    rates.add_argument("--batch-ms", type=float, default=3000, help="sleep per batch of the stand-in encoder")
    rates.add_argument("--view", choices=("center", "same"), default="center")
    opened = commands.add_parser("cache", help="a cache of features is opened")
    opened.add_argument("--images", type=int, default=1_000_000)
    opened.add_argument("--chunk", type=int, default=4096, help="images per shard")
    opened.add_argument("--width", type=int, default=512, help="numbers per feature")
    worker = commands.add_parser("work", help="a worker process of `features`")
    worker.add_argument("--home", type=Path, required=True)
    worker.add_argument("--batch-ms", type=float, required=True)
    given = vars(parser.parse_args())
    command = given.pop("command")
    if command == "work":
        features.work(**given)
        return 0
    print(machine(), flush=True)
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = cache.measure(home, **given) if command == "cache" else features.measure(home, features.Sizes(**given))
        for row in rows:
            print(f"{row.name:32} {row.target:12} {row.measured:40} {row.verdict}", flush=True)
            missed |= row.ok is False
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
