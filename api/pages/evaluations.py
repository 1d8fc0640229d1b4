"""Figures of a stored evaluation (`distill.evaluation.accuracy.Evaluation` as JSON) for the pages."""

from collections.abc import Mapping
from typing import Any, cast

from api.pages import formats

PARTS = {"id": "seen labels", "ood": "unseen labels", "joint": "all labels", "retrieval": "unseen labels, few-shot"}


def part_of(evaluation: Mapping[str, object], part: str) -> Mapping[str, Any] | None:
    """A part of an evaluation; None if it was not measured."""
    found = evaluation.get(part)
    return cast(Mapping[str, Any], found) if isinstance(found, Mapping) else None


def accuracy_of(evaluation: Mapping[str, object], part: str) -> str:
    """The accuracy of a part as text."""
    found = part_of(evaluation, part)
    return formats.share(found["accuracy"]) if found is not None and "accuracy" in found else formats.NONE
