"""Measure a training on this machine in a separate process, for a caller without torch:

    python -m distill.fitting.trial '{"student": {"architecture": "resnet18"}}' local-dir:teacher ROOT RANKS IMAGES

Prints one line of JSON: seconds of a step and of a view, the teacher's width, and the settings that a worker here would
choose; or `{"error": …}`. `view_s` and `width` are null for a teacher that cannot be loaded; who calls this with
HF_HUB_OFFLINE sees only teachers that were used before. `ROOT`: the folder below which weights lie. Of several RANKS,
each of which has a device of its own, one is measured. `IMAGES`: of a step of all ranks, where there are fewer training
images than the config's batch.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from distill.config.automatic import chosen_settings, fit_to_device
from distill.config.train_config import TrainConfig, merged
from distill.fitting.device_facts import device_facts, student_facts
from distill.fitting.rates import random_step_seconds, view_seconds
from distill.json_types import JSONValue
from distill.student.model import StudentError
from distill.teacher.teacher import TeacherError, load_teacher
from distill.training.device import choose_device
from distill.training.guards import OutOfMemory

WIDTH = 512
"""Outputs of the head if the teacher is not known: the time of a step hardly depends on it."""


def try_training(
    config: TrainConfig, teacher_ref: str, root: Path, num_ranks: int = 1, step_images: int | None = None
) -> dict[str, JSONValue]:
    """The measured rates, or the error of the student. `step_images`: of a step, if fewer than the config's batch."""
    device = choose_device(config.system.device)
    view_s, width = None, None
    if config.data.protocol != "closed_set":
        try:
            teacher = load_teacher(teacher_ref, device=str(device), root=root)
            view_s, width = view_seconds(teacher), teacher.width
        except TeacherError:
            pass
    try:
        student = student_facts(config, width or WIDTH, root)
        config = fit_to_device(config, device_facts(device), student, num_ranks)
        batch_size = config.schedule.batch_size
        of_rank = min(batch_size, step_images or batch_size) // num_ranks
        of_rank -= of_rank % config.schedule.accumulate
        changed = {"schedule": {"batch_size": of_rank}}
        step_s = random_step_seconds(
            TrainConfig.model_validate(merged(config.model_dump(), changed)), width or WIDTH, root
        )
    except (StudentError, OutOfMemory) as error:
        return {"error": str(error)}
    return {"view_s": view_s, "step_s": step_s, "width": width, "chosen": chosen_settings(config)}


def main(arguments: Sequence[str]) -> None:
    """Measure the training of the arguments."""
    config, teacher, root, ranks, images = arguments
    found = try_training(TrainConfig.model_validate_json(config), teacher, Path(root), int(ranks), int(images))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
