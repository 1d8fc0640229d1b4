"""Build a student with random weights in a separate process, for a caller without torch:

    python -m distill.student.trial '{"architecture": "resnet18", "image_px": 64}' [ROOT]

Prints one line of JSON: `{"num_bytes": …}`, the size of its weights, or `{"error": …}`, why it cannot be built. `ROOT`:
the folder below which its weights lie.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from distill.config.train_config import StudentConfig
from distill.student.model import StudentError, configured_student

WIDTH = 512
"""Outputs of the head, which are the teacher's width in a training: no size of images depends on it."""


def try_student(config: StudentConfig, root: Path | None = None) -> dict[str, str | int]:
    """The size in bytes of the weights of the student, or the error of building it."""
    try:
        student = configured_student(config, width=WIDTH, seed=0, root=root, initialise=False)
    except StudentError as error:
        return {"error": str(error)}
    return {"num_bytes": sum(tensor.numel() * tensor.element_size() for tensor in student.model.state_dict().values())}


def main(arguments: Sequence[str]) -> None:
    """Try the student of the first argument."""
    root = Path(arguments[1]) if len(arguments) > 1 else None
    print(json.dumps(try_student(StudentConfig.model_validate_json(arguments[0]), root)))


if __name__ == "__main__":
    main(sys.argv[1:])
