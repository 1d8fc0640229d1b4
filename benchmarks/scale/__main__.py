"""`python -m benchmarks.scale shards|table|folders`: datasets of millions of images; exit code 1 if a target is missed.

A process registers the dataset through the API with `check` names, and checks a distill job with it (`dry_run`). The
times are those of the process; writing the samples before is not counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.load import machine
from benchmarks.measurement import Measurement
from benchmarks.scale import samples

MAX_S, MAX_MB = 60, 1000
_TABLE = {"layout": "table", "file": "index.parquet"}
_KINDS = {
    "shards": (samples.write_shards, 10_000_000, _TABLE),
    "table": (samples.write_table, 10_000_000, _TABLE),
    "folders": (samples.write_folders, 1_000_000, {"layout": "class_folders"}),
}


def measure(home: Path, kind: str, images: dict[str, str]) -> list[Measurement]:
    """Register what lies in `samples` below `home`."""
    run = [sys.executable, "-m", "benchmarks.scale.register", str(home), json.dumps(images)]
    found = json.loads(subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    seconds, peak = found["register_s"] + found["plan_s"], found["peak_mb"]
    shown = f"{found['register_s']:.1f} + {found['plan_s']:.1f} s, {found['cpu_s']:.1f} s of CPU"
    return [
        Measurement(f"{kind}: registered + planned", f"< {MAX_S} s", shown, seconds < MAX_S),
        Measurement(f"{kind}: peak memory", f"< {MAX_MB} MB", f"{peak:.0f} MB", peak < MAX_MB),
    ]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("kind", choices=_KINDS)
    parser.add_argument("--samples", type=int, help="default: 10,000,000; folders: 1,000,000")
    parser.add_argument("--home", type=Path, help="a folder for the samples, which are kept and used again")
    given = parser.parse_args()
    write, count, images = _KINDS[given.kind]
    print(machine(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        home: Path = given.home or Path(folder)
        if not (home / "samples").exists():
            write(home / "samples", given.samples or count)
        rows = measure(home, given.kind, images)
    for row in rows:
        print(f"{row.name:32} {row.target:12} {row.measured:40} {row.verdict}", flush=True)
    return int(any(row.ok is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
