"""Figures of a stored evaluation (`distill.evaluation.accuracy.Evaluation` as JSON) for the pages."""

from collections.abc import Mapping
from typing import Any, cast

from api.pages import formats

PARTS = {"id": "seen labels", "ood": "unseen labels", "joint": "all labels", "retrieval": "unseen labels, few-shot"}


def is_multi_label(evaluation: Mapping[str, object]) -> bool:
    """Whether the images that were measured have several labels, so that the figures are average precisions."""
    return isinstance(evaluation.get("multi_label"), Mapping)


def part_of(evaluation: Mapping[str, object], part: str) -> Mapping[str, Any] | None:
    """A part of an evaluation; None if it was not measured.

    Of images with several labels, `accuracy` is the mean average precision, and that of `joint` of all images at once.
    """
    if is_multi_label(evaluation):
        return _precision(cast(Mapping[str, Any], evaluation["multi_label"]).get(part), part)
    found = evaluation.get(part)
    return cast(Mapping[str, Any], found) if isinstance(found, Mapping) else None


def _precision(found: Mapping[str, Any] | None, part: str) -> Mapping[str, Any] | None:
    if not found or part != "joint":
        return {**found, "accuracy": found["mean_ap"]} if found and "mean_ap" in found else None
    seen, unseen = found["id_mean_ap"], found["ood_mean_ap"]
    return {**found, "harmonic_mean": 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0}


def accuracy_of(evaluation: Mapping[str, object], part: str) -> str:
    """The accuracy of a part as text, or its mean average precision, which it names."""
    found = part_of(evaluation, part)
    if found is None or "accuracy" not in found:
        return formats.NONE
    return formats.share(found["accuracy"]) + (" mAP" if is_multi_label(evaluation) else "")
