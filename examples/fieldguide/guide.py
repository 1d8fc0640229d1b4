"""Writes the field guide below a data root, with the plan that the start page offers as one button.

    python -m examples.fieldguide.guide --data DIR

`limbeck serve --field-guide` does it. Below `DIR/fieldguide`: `pictures` with a folder for each species of two groups,
`teacher`, and `plan.json`, which has the form of a body of `POST /v1/plan`. What exists is kept.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.fieldguide.world import species, write_class_folders

DOMAIN = "imaginary creatures of a field guide"
TEACHER = "fieldguide/teacher"
IMAGE_FOLDER = "fieldguide/pictures"
PLAN = "fieldguide/plan.json"
SEEN, UNSEEN = "train", "validation"
IMAGES_PER_SPECIES = {SEEN: 40, UNSEEN: 20}
SEED = 0
RECIPE = "limbeck-small"
CONFIG: Mapping[str, Any] = {"epochs": 4, "measured_epochs": 0}
"""Overrides of the recipe, for a run of minutes on two cores: fewer epochs, and no mean over the last epochs, which is
only needed for published figures."""
_TEACHER_FOLDER = Path(__file__).parent / "teacher"
_TEACHER_FILES = ("open_clip_config.json", "open_clip_model.safetensors")


class GuideError(Exception):
    """The field guide cannot be written; the message is one line."""


def species_names() -> list[str]:
    """The names of the species of both groups, which are the labels."""
    return [member.name for group in (SEEN, UNSEEN) for member in species(group)]


def split() -> dict[str, Any]:
    """The split of the images: one group of species for training, the other one unseen."""
    return {
        "by": "list",
        "id": [member.name for member in species(SEEN)],
        "ood": [member.name for member in species(UNSEEN)],
        "held_out": 0.3,
        "seed": SEED,
    }


def write_images(data: Path, counts: Mapping[str, int] = IMAGES_PER_SPECIES) -> int:
    """Write the pictures below the data root; `counts`: per species of each group. Returns the number of pictures."""
    return sum(write_class_folders(data / IMAGE_FOLDER, [group], count, SEED) for group, count in counts.items())


def write_teacher(data: Path) -> None:
    """Copy the teacher below the data root. Raises GuideError."""
    missing = [name for name in _TEACHER_FILES if not (_TEACHER_FOLDER / name).is_file()]
    if missing:
        names = " and ".join(missing)
        raise GuideError(f"{_TEACHER_FOLDER} lacks {names}: run python -m examples.fieldguide.train_teacher")
    ignored = shutil.ignore_patterns("*.jsonl", "*.py", "__pycache__")
    shutil.copytree(_TEACHER_FOLDER, data / TEACHER, ignore=ignored, dirs_exist_ok=True)


def plan(config: Mapping[str, Any]) -> dict[str, Any]:
    """Vocabulary, dataset, enrichment and training as a body of `POST /v1/plan`."""
    return {
        "vocabulary": {"name": "field guide", "domain": DOMAIN, "labels": species_names()},
        "dataset": {"name": "field guide", "path": IMAGE_FOLDER, "vocabulary_id": "planned", "split": split()},
        "jobs": [
            {"kind": "enrich", "vocabulary_id": "planned"},
            {
                "kind": "distill",
                "dataset_id": "planned",
                "teacher": f"local-dir:{TEACHER}",
                "text": "sentence",
                "attribute_set_id": "planned",
                "recipe": RECIPE,
                "config": config,
            },
        ],
    }


def write_guide(data: Path, counts: Mapping[str, int] = IMAGES_PER_SPECIES, config: Mapping[str, Any] = CONFIG) -> Path:
    """Write pictures, teacher and plan, unless the plan exists, which is written last; returns its path."""
    path = data / PLAN
    if not path.exists():
        write_teacher(data)
        write_images(data, counts)
        # The text tower as ONNX, so that the page of the student can take new words.
        path.write_text(json.dumps(plan({**config, "text_onnx": True}), indent=1), encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the field guide below a data root.")
    parser.add_argument("--data", type=Path, required=True, help="the data root of the service")
    try:
        print(write_guide(parser.parse_args(arguments).data))
    except (GuideError, OSError) as error:
        print(f"field guide: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
