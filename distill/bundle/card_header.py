"""The header of a model card: the metadata that the Hugging Face Hub reads, as YAML.

It holds no label and no text of a user. The licence is left out: it depends on the images, the teacher and the texts,
and whoever publishes the model adds it. So are the datasets, which the Hub expects as names of its own.
"""

from huggingface_hub import EvalResult, ModelCardData

from distill.bundle.card_metrics import PART_NAMES
from distill.json_types import EvaluationJSON

TASK = "zero-shot-image-classification"
TAGS = ["timm", "open_clip", "limbeck"]


def card_header(student: str, base_model: str | None, evaluation: EvaluationJSON) -> str:
    """The header between its two lines of dashes. `base_model`: the teacher on the Hub, if it is there."""
    results = _eval_results(evaluation)
    data = ModelCardData(
        base_model=base_model,
        library_name="timm",
        pipeline_tag=TASK,
        tags=TAGS,
        metrics=["accuracy"] if results else None,
        model_name=student if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def hub_model(teacher: str) -> str | None:
    """The Hub's name of a teacher (`org/name`), from its reference; None if it is not on the Hub."""
    kind, _, name = teacher.partition(":")
    if kind == "hf-hub":
        return name
    if kind == "local-dir":
        return None
    from open_clip.pretrained import get_pretrained_cfg

    path = get_pretrained_cfg(kind, name).get("hf_hub", "")  # `org/name/` or `org/name/file`
    return "/".join(path.split("/")[:2]) or None


def _eval_results(evaluation: EvaluationJSON) -> list[EvalResult]:
    results = []
    for name, title in PART_NAMES.items():
        part = evaluation.get(name)
        if not part:
            continue
        accuracies = {"mean per-class accuracy": part["accuracy"], "top-5 accuracy": part.get("top5")}
        results += [
            EvalResult(
                task_type=TASK,
                dataset_type="imagefolder",
                dataset_name=title,
                dataset_split=name,
                metric_type="accuracy",
                metric_name=metric,
                metric_value=value,
            )
            for metric, value in accuracies.items()
            if value is not None
        ]
    return results
