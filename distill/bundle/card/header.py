"""The header of a model card: the metadata that the Hugging Face Hub reads, as YAML. It holds no label of a user.

`library_name` is timm: the root of a repository holds `image/`, the student itself. `pairing/` and `onnx/` are tags.
`base_model` is the teacher, and the weights before training if they are published. The images of a run are a folder, so
that `datasets` are those of the Hub that the config names (`bundle.datasets`). Each measured figure is a metric of
`model-index`: of held-out images of seen labels, of unseen labels, and of both among all labels.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from distill.bundle.card.facts import CardFacts, dataset_digest, section
from distill.bundle.card.hub_names import hub_model, initial_model
from distill.bundle.card.license import License
from distill.bundle.card.metrics import PART_NAMES, top1_accuracy
from distill.json_types import EvaluationJSON

TASK = "zero-shot-image-classification"
PER_CLASS, MEAN_AP = "mean per-class accuracy", "mean average precision"


def card_header(facts: CardFacts, licence: License) -> str:
    """The header between its two lines of dashes."""
    results = _eval_results(facts)
    initial = initial_model(section(facts.made_from, "initial_weights"))
    models = list(dict.fromkeys(name for name in (hub_model(facts.teacher), initial) if name))
    datasets = section(section(facts.made_from, "config"), "bundle").get("datasets")
    fields: dict[str, Any] = {
        **licence.header(),
        "base_model": models[0] if len(models) == 1 else models or None,
        "datasets": list(datasets) if isinstance(datasets, list | tuple) and datasets else None,
        "library_name": "timm",
        "pipeline_tag": TASK,
        "tags": _tags(facts),
        "metrics": sorted({result.metric_type for result in results}) or None,
        "model_name": facts.student if results else None,
        "eval_results": results or None,
    }
    return f"---\n{ModelCardData(**fields).to_yaml()}\n---\n"


def _tags(facts: CardFacts) -> list[str]:
    parts = {"open_clip": facts.pairing is not None, "onnx": bool(facts.onnx)}
    return ["timm", *(name for name, is_there in parts.items() if is_there), "distillation", "limbeck"]


class _Figure(NamedTuple):
    part: str
    title: str
    metric: str
    value: float


def _metric_type(figure: _Figure) -> str:
    return "average_precision" if figure.metric.startswith(MEAN_AP) else "accuracy"


def _eval_results(facts: CardFacts) -> list[EvalResult]:
    revision = dataset_digest(facts.made_from)
    return [
        EvalResult(
            task_type=TASK,
            dataset_type="imagefolder",
            dataset_name=figure.title,
            dataset_split=figure.part,
            dataset_revision=revision,
            metric_type=_metric_type(figure),
            metric_name=figure.metric,
            metric_value=round(figure.value, 6),
        )
        for figures in (_part_figures, _joint_figures, _int8_figures, _precision_figures)
        for figure in figures(facts.evaluation)
    ]


def _part_figures(evaluation: EvaluationJSON) -> Iterator[_Figure]:
    for name, title in PART_NAMES.items():
        if part := evaluation.get(name):
            values = {
                PER_CLASS: part["accuracy"],
                "top-1 accuracy": top1_accuracy(part),
                "top-5 accuracy": part.get("top5"),
            }
            for metric, value in values.items():
                if value is not None:
                    yield _Figure(name, title, metric, value)


def _joint_figures(evaluation: EvaluationJSON) -> Iterator[_Figure]:
    if joint := evaluation.get("joint"):
        metric = "harmonic mean of the accuracies on seen and unseen labels"
        yield _Figure("id+ood", "all labels at once", metric, joint["harmonic_mean"])


def _precision_figures(evaluation: EvaluationJSON) -> Iterator[_Figure]:
    if several := evaluation.get("multi_label"):
        for name, title in PART_NAMES.items():
            if part := several[name]:
                yield _Figure(name, title, MEAN_AP, part["mean_ap"])


def _int8_figures(evaluation: EvaluationJSON) -> Iterator[_Figure]:
    if onnx := evaluation.get("onnx"):
        for name, title in PART_NAMES.items():
            if part := onnx[name]:
                measure = MEAN_AP if evaluation.get("multi_label") else PER_CLASS
                yield _Figure(name, title, f"{measure}, int8 (onnx/image-int8.onnx)", part["int8"])
