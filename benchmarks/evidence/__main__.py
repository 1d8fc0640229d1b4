"""The evidence: arms of the method on the field guide, each with several seeds, told in `docs/evidence.md`.

    make evidence            # the core arms
    make evidence-full       # all of them
    python -m benchmarks.evidence --arms cls,mse --seeds 0 --groups validation     # to choose recipes by

Results are JSON files below `--out`, one an arm and seed, found again on the next run; broken off, it goes on. `test`
is measured only for what is published: leave it out of `--groups` while choosing anything.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks.evidence.arms import ARMS
from benchmarks.evidence.report import unseen, write_report
from benchmarks.evidence.run import Result, run_arm
from benchmarks.evidence.world import prepare
from distill import Stopped
from distill.cli.console import Console, duration
from distill.texts.text_templates import TextKind


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the arms; 0, or 130 where it was stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--arms", default="core", help="core, full, or names of arms, separated by commas")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--groups", default="validation,test", help="groups of unseen species to measure on")
    parser.add_argument("--out", type=Path, default=Path("evidence"), help="pictures, caches and results")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write evidence.md and its plot into this folder")
    parser.add_argument("--list", action="store_true", help="say which arms there are")
    asked = parser.parse_args(arguments)
    if asked.list:
        for arm in ARMS.values():
            print(f"{arm.name:24} {'core' if arm.core else 'full'}  {arm.title}")
        return 0
    names = _chosen(parser, asked.arms)
    groups, seeds = asked.groups.split(","), [int(seed) for seed in asked.seeds.split(",")]
    console, stop = Console(sys.stderr), _Stop()
    world = prepare(asked.out)
    results: list[Result] = []
    try:
        # Seed by seed, so that a run that is cut short has every arm before any of them has its second seed.
        for seed in seeds:
            for name in names:
                console.begin(name)
                result = run_arm(
                    ARMS[name], seed, world, groups, asked.out / "results", on_step=console.step, should_stop=stop
                )
                results.append(result)
                console.say(_line(result))
    except Stopped as stopped:
        print(f"stopped: {stopped}; run it again to go on", file=sys.stderr)
        return 130
    if asked.write:
        command = f"make evidence{'-full' if asked.arms == 'full' else ''}"
        if asked.arms not in ("core", "full"):
            command = (
                f"python -m benchmarks.evidence --arms '{asked.arms}' --seeds {asked.seeds} --groups {asked.groups}"
            )
        texts: tuple[TextKind, ...] = ("names", "sentence", "phrases")
        teacher = {group: {str(text): world.teacher_on(group, text).as_json() for text in texts} for group in groups}
        write_report(results, teacher, command=command, docs=asked.write)
        console.say(f"written: {asked.write / 'evidence.md'}")
    return 0


def _chosen(parser: argparse.ArgumentParser, given: str) -> list[str]:
    if given in ("core", "full"):
        return [name for name, arm in ARMS.items() if arm.core or given == "full"]
    names = given.split(",")
    unknown = [name for name in names if name not in ARMS]
    if unknown:
        parser.error(f'no arm is called "{unknown[0]}"; --list tells which there are')
    return names


def _line(result: Result) -> str:
    shown = "; ".join(
        f"{group} {'none' if (found := unseen(result, group)) is None else f'{found:.1%}'}"
        for group in result["groups"]
    )
    seen = next(iter(result["groups"].values()))["id"]["accuracy"]
    return f"{result['arm']}, seed {result['seed']}: seen {seen:.1%}; {shown}; {duration(result['seconds'])}"


class _Stop:
    """True once the process was asked to end."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)

    def __call__(self) -> bool:
        return self._asked


if __name__ == "__main__":
    sys.exit(main())
