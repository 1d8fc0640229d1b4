"""The bundle of a checkpoint of a running training: the parts of a bundle (`distill.bundle.write`) that need no trial.

    image/    config.json, model.safetensors: the student, for timm
    targets/  text_targets.safetensors, labels.json
    evaluation.json, manifest.json

There is no pairing and no ONNX file: they take longer to write than an epoch of a small training. K labels.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distill.bundle.common_files import BundleFile, bundle_origin, write_json, write_manifest, write_targets
from distill.bundle.optional_parts import OPTIONAL_PARTS
from distill.bundle.student_files import StudentWeights, write_image
from distill.json_types import EvaluationJSON, JSONObject
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets

REASON = "a checkpoint of a running training has none"


def write_epoch_bundle(
    out: Path,
    *,
    student: StudentWeights,
    teacher: Teacher,
    targets: TextTargets,
    labels: Sequence[Mapping[str, object]],
    evaluation: EvaluationJSON,
    provenance: JSONObject,
) -> list[BundleFile]:
    """Write the files to the empty folder `out`, and return them, the manifest last. Arguments as `write_bundle`.

    Raises BundleError for weights that do not fit the architecture, and OSError.
    """
    write_image(out / "image", student, student.model())
    write_targets(out / "targets", targets, labels)
    write_json(out / "evaluation.json", evaluation)
    return write_manifest(out, student, bundle_origin(provenance, teacher), dict.fromkeys(OPTIONAL_PARTS, REASON))
