"""Checks of jobs on multi-label datasets: what is made for one label an image is refused with what fits instead."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from api.http.problems import json_pointer, not_found_at, unprocessable
from api.jobs.evaluate_request import EvaluateIn
from api.jobs.training_config import pointer_of
from distill.config.multi_label import MultiLabelUnfit, check_multi_label
from distill.config.train_config import TrainConfig
from store import resources
from store.models import Dataset

CODE = "multi_label_unfit"
_FURTHER = ("shots", "domain_dataset_ids", "far_dataset_id", "corruption_images", "outlier_set_id")


def check_training(config: TrainConfig, given: Mapping[str, object]) -> None:
    """Raise ProblemError if a config cannot train on sets of labels. `given`: as the client wrote it."""
    try:
        check_multi_label(config)
    except MultiLabelUnfit as error:
        raise unprocessable(CODE, str(error), pointer_of(given, error.field)) from None


def check_evaluation(tx: Session, request: EvaluateIn, dataset: Dataset) -> None:
    """Raise ProblemError if something is asked for that is measured for one label an image only."""
    if dataset.labels_per_image is not None:
        for name in _FURTHER:
            if getattr(request, name):
                detail = f"the images have several labels, and {name} is for one label an image: leave it out"
                raise unprocessable(CODE, detail, json_pointer(name))
    for at, id in enumerate(request.domain_dataset_ids):
        pointer = json_pointer("domain_dataset_ids", at)
        with not_found_at(pointer):
            refuse(resources.dataset(tx, id), "accuracy in a domain is measured", pointer)
    if request.far_dataset_id is not None:
        with not_found_at("/far_dataset_id"):
            refuse(resources.dataset(tx, request.far_dataset_id), "unknown images are told apart", "/far_dataset_id")


def refuse(dataset: Dataset, what: str, pointer: str) -> None:
    """Raise ProblemError for a multi-label dataset. `what`: is for one label an image only."""
    if dataset.labels_per_image is not None:
        detail = f"{what} for one label an image only, and the images of {dataset.name} have several: name another one"
        raise unprocessable(CODE, detail, pointer)
