"""Finished evaluations on a dataset, of students, teachers and closed-set baselines: the ids of their jobs."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from store.models import Job


def newest_of_checkpoint(tx: Session, checkpoint_id: str, *, dataset_id: str, text: str) -> str | None:
    """The newest succeeded evaluation of a student on a dataset by these texts."""
    query = _evaluations(dataset_id, text).where(Job.spec["subject"]["checkpoint_id"].as_string() == checkpoint_id)
    return tx.scalar(query)


def of_checkpoint(tx: Session, checkpoint_id: str, *, dataset_id: str, limit: int) -> list[str]:
    """The succeeded evaluations of a student on a dataset, by any texts, the newest first."""
    of_student = Job.spec["subject"]["checkpoint_id"].as_string() == checkpoint_id
    return list(tx.scalars(_succeeded("evaluate", dataset_id).where(of_student).limit(limit)))


def fields(tx: Session, job_id: str, names: Sequence[str]) -> dict[str, Any]:
    """Fields of the evaluation of a job, without the rest of it; None for those that it does not have."""
    evaluation = Job.result["evaluation"]
    row = tx.execute(select(*(evaluation[name].as_json() for name in names)).where(Job.id == job_id)).one()
    return dict(zip(names, row, strict=True))


def newest_of_teacher(
    tx: Session, teacher: str, *, dataset_id: str, text: str, attribute_set_id: str | None = None
) -> str | None:
    """The newest succeeded evaluation of a teacher on a dataset by these texts."""
    query = _evaluations(dataset_id, text).where(Job.spec["subject"]["teacher"].as_string() == teacher)
    if attribute_set_id is not None:
        query = query.where(Job.spec["attribute_set_id"].as_string() == attribute_set_id)
    return tx.scalar(query)


def newest_closed_set(tx: Session, dataset_id: str) -> str | None:
    """The newest succeeded training of a closed-set baseline on a dataset."""
    protocol = Job.spec["config"]["data"]["protocol"].as_string()
    return tx.scalar(_succeeded("distill", dataset_id).where(protocol == "closed_set"))


def _evaluations(dataset_id: str, text: str) -> Select[str]:
    return _succeeded("evaluate", dataset_id).where(Job.spec["text"].as_string() == text)


def _succeeded(kind: str, dataset_id: str) -> Select[str]:
    is_one = (Job.kind == kind, Job.status == "succeeded", Job.spec["dataset_id"].as_string() == dataset_id)
    return select(Job.id).where(*is_one).order_by(Job.id.desc()).limit(1)
