"""A student with stored evaluations, for tests of its pages."""

from collections.abc import Mapping, Sequence
from typing import Any

from distill.config.recipes import RECIPES
from store.db import Database
from store.models import Checkpoint, Job
from tests.api.conftest import Service
from tests.api.published import publish


def part(accuracies: Mapping[str, float], confusions: Sequence[tuple[str, str, int, float]] = ()) -> dict[str, Any]:
    """A part of an evaluation: the accuracy of each label of 10 images."""
    mean = sum(accuracies.values()) / len(accuracies)
    names = ("label", "taken_for", "num_images", "share")
    return {
        "accuracy": mean,
        "chance": 0.5,
        "num_labels": len(accuracies),
        "num_images": 10 * len(accuracies),
        "per_label": dict(accuracies),
        "images_per_label": dict.fromkeys(accuracies, 10),
        "intervals": {"images": [mean - 0.05, mean + 0.05], "labels": [mean - 0.1, mean + 0.1]},
        "confusions": [dict(zip(names, one, strict=True)) for one in confusions],
    }


def evaluation(seen: dict[str, Any], unseen: dict[str, Any] | None, **more: object) -> dict[str, Any]:
    """An evaluation of two parts."""
    joint = {"harmonic_mean": 0.4321, "harmonic_intervals": {"images": [0.4, 0.45], "labels": [0.3, 0.5]}}
    return {"text": "sentence", "id": seen, "ood": unseen, "joint": joint, **more}


def add_student(service: Service, figures: dict[str, Any], *, text: str = "sentence") -> str:
    """Publish a student with this evaluation; returns its id."""
    publish(service.db, service.artefacts)
    with service.db.write() as tx:
        row = tx.get_one(Checkpoint, "ckp_1")
        row.evaluation, row.text = figures, text
        tx.get_one(Job, "job_1").spec = {
            "dataset_id": "dst_1",
            "vocabulary_id": "voc_1",
            "attribute_set_id": row.attribute_set_id,
            "teacher": "t",
            "text": text,
            "recipe": "limbeck-small",
            "config": RECIPES["limbeck-small"]().model_dump(mode="json"),
        }
    return "ckp_1"


def add_job(db: Database, id: str, kind: str, spec: dict[str, Any], figures: dict[str, Any], status: str) -> None:
    """A job that ended with an evaluation."""
    with db.write() as tx:
        tx.add(
            Job(
                id=id,
                kind=kind,
                status=status,
                spec=spec,
                result={"evaluation": figures},
                tally=[],
                num_events=0,
                created_at=0.0,
            )
        )
