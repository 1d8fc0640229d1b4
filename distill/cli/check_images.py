"""Opens the images of a run before anything is trained: the index without unusable files and copies. No torch."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from distill.cli.arguments import RunArguments, check_shots
from distill.cli.console import Console
from distill.data.dataset_check.check import CheckedDataset, check_dataset
from distill.hooks import PipelineHooks


class CheckedRun(NamedTuple):
    """The arguments of a run with the index of its usable images, and what the check found."""

    arguments: RunArguments
    dataset: CheckedDataset


def check_images(arguments: RunArguments, console: Console, should_stop: Callable[[], bool]) -> CheckedRun:
    """Open the images of a run; facts about them are cached. Raises FolderError, FewShotError, Stopped."""
    console.begin("checking the images")
    dataset = check_dataset(
        arguments.matched,
        arguments.split,
        arguments.check,
        cache=arguments.cache,
        num_workers=arguments.config.system.num_workers,
        hooks=PipelineHooks(on_progress=console.progress, should_stop=should_stop),
    )
    check_shots(arguments.config, dataset.image_index)
    notes = [*arguments.notes, *(f"warning: {warning}" for warning in dataset.report.warnings)]
    image_px = min(arguments.config.student.size)
    if small := sum(px < image_px for px in dataset.shorter_sides_px):
        notes.append(f"{small} of {dataset.report.num_images} images are smaller than the student's {image_px} px")
    return CheckedRun(replace(arguments, image_index=dataset.image_index, notes=notes), dataset)
