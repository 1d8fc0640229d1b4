"""Metrics beyond accuracy, as Markdown for the model card. Metrics that the evaluation lacks are left out."""

from collections.abc import Callable, Sequence
from typing import Literal

from distill.bundle.card.facts import share, table
from distill.json_types import (
    AgreementJSON,
    ConfusionJSON,
    EvaluatedPart,
    EvaluationJSON,
    JointJSON,
    LabelSetJSON,
    LastEpochsJSON,
)
from limbeck.shared.text import counted

NUM_CONFUSIONS = 20
PART_NAMES: dict[EvaluatedPart, str] = {"id": "seen labels (held-out images)", "ood": "unseen labels"}


def measured_parts(evaluation: EvaluationJSON) -> dict[str, LabelSetJSON]:
    """The parts that were measured, by the title that the card gives them."""
    return {title: part for name, title in PART_NAMES.items() if (part := evaluation.get(name))}


def top1_accuracy(part: LabelSetJSON) -> float | None:
    """The share of all images that are classified correctly; None for an evaluation without calibration."""
    bins = part["calibration"]["bins"] if part.get("calibration") else []
    num_images = sum(each["num_images"] for each in bins)
    return sum(each["accuracy"] * each["num_images"] for each in bins) / num_images if num_images else None


def num_wrong(part: LabelSetJSON) -> int | None:
    """The number of images that are classified wrongly; None for an evaluation without calibration."""
    top1 = top1_accuracy(part)
    return None if top1 is None else round((1 - top1) * part["num_images"])


def frequent_confusions(part: LabelSetJSON) -> list[ConfusionJSON]:
    """The first `NUM_CONFUSIONS` of more than one image; if there are none, of all: which of many single ones are
    listed is chance."""
    pairs = [pair for pair in part["confusions"] if pair["num_images"] > 1] or list(part["confusions"])
    return pairs[:NUM_CONFUSIONS]


def metrics_markdown(evaluation: EvaluationJSON) -> str:
    """Tables and sentences in Markdown; empty if there is nothing to report."""
    parts = {title: part for title, part in measured_parts(evaluation).items() if part.get("calibration")}
    if not parts:
        return ""
    blocks = [_parts_table(list(parts.values()), list(parts))]
    blocks += [*_joint_sentence(evaluation.get("joint")), *last_epochs_sentence(evaluation.get("last_epochs"))]
    return "\n\n".join(blocks)


def _parts_table(parts: Sequence[LabelSetJSON], titles: Sequence[str]) -> str:
    first = parts[0]
    calibration = first["calibration"]
    rows: list[tuple[str, Callable[[LabelSetJSON], str]]] = [
        ("95% interval over other images of these labels", lambda part: _range(part["intervals"]["images"])),
        ("95% interval over other labels of this kind", lambda part: _range(part["intervals"]["labels"])),
        ("top-1 accuracy over images", lambda part: share(top1_accuracy(part) or 0)),
        ("top-5 accuracy", lambda part: share(part["top5"])),
        (
            f"calibration error ({calibration['num_bins']} bins, temperature {calibration['temperature']:g})",
            lambda part: f"{part['calibration']['error']:.1%}",
        ),
    ]
    if agreement := first.get("agreement"):
        rows += _agreement_rows(agreement)
    return table([["", *titles], *([name, *map(cell, parts)] for name, cell in rows)])


_AgreementMetric = Literal["feature_cosine", "neighbour_overlap", "linear_cka", "top1_agreement", "top_texts_kl"]


def _agreement_rows(agreement: AgreementJSON) -> list[tuple[str, Callable[[LabelSetJSON], str]]]:
    def cell(metric: _AgreementMetric) -> Callable[[LabelSetJSON], str]:
        def show(part: LabelSetJSON) -> str:
            shown = part.get("agreement")
            value = shown.get(metric) if shown else None
            return "" if value is None else f"{value:.3f}"

        return show

    return [
        ("agreement with the teacher: cosine of features", cell("feature_cosine")),
        (
            f"agreement with the teacher: overlap of the {agreement['num_neighbours']} nearest neighbours",
            cell("neighbour_overlap"),
        ),
        ("agreement with the teacher: linear CKA", cell("linear_cka")),
        ("agreement with the teacher: same nearest text", cell("top1_agreement")),
        (
            "agreement with the teacher: KL divergence over its nearest texts (at most 256, "
            f"temperature {agreement['temperature']:g})",
            cell("top_texts_kl"),
        ),
    ]


def _joint_sentence(joint: JointJSON | None) -> list[str]:
    if not joint:
        return []
    return [
        f"Among all {joint['num_labels']:,} labels at once: {joint['id_accuracy']:.1%} on seen labels, "
        f"{joint['ood_accuracy']:.1%} on unseen labels;\nharmonic mean {joint['harmonic_mean']:.1%} "
        f"({_range(joint['harmonic_intervals']['labels'])} over labels), chance {joint['chance']:.1%}."
    ]


def last_epochs_sentence(last: LastEpochsJSON | None, *, has_several_labels: bool = False) -> list[str]:
    """The mean over the last epochs; empty without measured epochs."""
    if not last:
        return []
    by_part = ((PART_NAMES["id"], last["id_accuracy"]), (PART_NAMES["ood"], last["ood_accuracy"]))
    accuracies = [f"{accuracy:.1%} on {title}" for title, accuracy in by_part if accuracy is not None]
    start = f"Mean over the last {counted(len(last['epochs']), 'epoch')}"
    start += " of the mean average precision" if has_several_labels else ", as arXiv:2307.03135 reports"
    return [
        f"{start}: {' and '.join(accuracies)}.\n"
        "All other figures are of the delivered weights, which were not selected by accuracy."
    ]


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"
