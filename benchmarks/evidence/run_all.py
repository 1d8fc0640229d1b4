"""Runs several arms with several seeds, with progress and a line for each result."""

from collections.abc import Callable, Sequence

from benchmarks.evidence.arms import TrainingArm
from benchmarks.evidence.run import ArmRecord, run_arm
from benchmarks.evidence.world import World
from distill.cli.console import Console
from distill.cli.stop_signal import StopSignal
from distill.training.hooks import TrainHooks


def run_arms(
    arms: Sequence[TrainingArm],
    seeds: Sequence[int],
    groups: Sequence[str],
    world: World,
    console: Console,
    line: Callable[[ArmRecord], str],
) -> list[ArmRecord]:
    """Run the arms with each seed; results are kept below the folder of the world.

    `line`: what is printed of a result. Raises Stopped on SIGINT and SIGTERM.
    """
    should_stop, records = StopSignal(), list[ArmRecord]()
    try:
        # Seed by seed, so that an interrupted run has every arm with one seed before any arm has a second seed.
        for seed in seeds:
            for arm in arms:
                console.begin(arm.name)
                hooks = TrainHooks(on_step=console.step, should_stop=should_stop)
                records.append(run_arm(arm, seed, world, groups, world.folder / "results", hooks=hooks))
                console.message(line(records[-1]))
    finally:
        should_stop.restore()
    return records
