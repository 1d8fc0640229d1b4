"""Trains and measures the arms with several seeds, and writes the report `docs/evidence.md`.

    make evidence            # the core arms
    make evidence-full       # all arms
    python -m benchmarks.evidence --arms cls,mse --seeds 0 --groups validation     # to choose recipes

The results are JSON files in `--out`, one per arm and seed; the next run finds them, and an interrupted run resumes.
The group `test` is only for published figures: leave it out of `--groups` while choosing anything.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.evidence.arms import ARMS
from benchmarks.evidence.report import unseen_accuracy, write_report
from benchmarks.evidence.run import ArmRecord
from benchmarks.evidence.run_all import run_arms
from benchmarks.evidence.world import prepare
from distill import Stopped
from distill.cli.console import Console, duration
from distill.texts.text_templates import TextKind

TEXTS: tuple[TextKind, ...] = ("names", "sentence", "phrases")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 130 if it was stopped."""
    parser = _argument_parser()
    arguments = parser.parse_args(argv)
    if arguments.list:
        for arm in ARMS.values():
            print(f"{arm.name:24} {'core' if arm.is_core else 'full'}  {arm.title}")
        return 0
    names = _chosen_arms(parser, arguments.arms)
    groups, seeds = arguments.groups.split(","), [int(seed) for seed in arguments.seeds.split(",")]
    console, world = Console(sys.stderr), prepare(arguments.out)
    try:
        records = run_arms([ARMS[name] for name in names], seeds, groups, world, console, _summary)
    except Stopped as stopped:
        print(f"stopped: {stopped}; run the same command again to resume", file=sys.stderr)
        return 130
    if arguments.write:
        teacher = {group: {str(text): world.teacher_on(group, text).as_json() for text in TEXTS} for group in groups}
        write_report(records, teacher, command=_command(arguments), docs=arguments.write)
        console.message(f"written: {arguments.write / 'evidence.md'}")
    return 0


def _argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--arms", default="core", help="core, full, or a comma-separated list of arms")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated list of seeds")
    parser.add_argument("--groups", default="validation,test", help="groups of unseen species to measure on")
    parser.add_argument("--out", type=Path, default=Path("evidence"), help="folder for images, caches and results")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write evidence.md and its plot to this folder")
    parser.add_argument("--list", action="store_true", help="list the arms")
    return parser


def _chosen_arms(parser: argparse.ArgumentParser, option: str) -> list[str]:
    if option in ("core", "full"):
        return [name for name, arm in ARMS.items() if arm.is_core or option == "full"]
    names = option.split(",")
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        parser.error(f'no arm is called "{unknown[0]}"; --list shows all arms')
    return names


def _command(arguments: argparse.Namespace) -> str:
    """The command that repeats the run, for the report."""
    if arguments.arms in ("core", "full"):
        return f"make evidence{'-full' if arguments.arms == 'full' else ''}"
    return (
        f"python -m benchmarks.evidence --arms '{arguments.arms}' --seeds {arguments.seeds} --groups {arguments.groups}"
    )


def _summary(record: ArmRecord) -> str:
    accuracies = "; ".join(
        f"{group} {'none' if (accuracy := unseen_accuracy(record, group)) is None else f'{accuracy:.1%}'}"
        for group in record["groups"]
    )
    part = next(iter(record["groups"].values()))["id"]
    assert part is not None
    seen = part["accuracy"]
    return f"{record['arm']}, seed {record['seed']}: seen {seen:.1%}; {accuracies}; {duration(record['seconds'])}"


if __name__ == "__main__":
    sys.exit(main())
