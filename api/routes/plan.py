"""The check of a whole job, from labels and images to a student: what it would do, with nothing stored."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import Field
from sqlalchemy.orm import Session

from api.http.dependencies import ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.schemas import ResponseModel
from api.jobs.whole_job import PlanIn, WholeJob, plan_whole_job
from api.routes.jobs import MEASURE, JobCheckOut, job_check, with_times
from distill.data.splits import NO_LABEL
from store.settings import Settings

router = APIRouter(prefix="/v1/plan", tags=["jobs"], route_class=LargeJSONRoute)


class PlannedVocabularyOut(ResponseModel):
    """The vocabulary of a plan."""

    num_labels: int
    same_id: str | None = Field(description="An equal vocabulary, which its POST would return.")


class PlannedDatasetOut(ResponseModel):
    """The dataset of a plan."""

    counts: dict[str, int] = Field(description="As `counts` of a dataset.")
    labels_per_image: float | None = Field(None, description="As that of a dataset.")
    warnings: list[str] = Field(description="What to look at.")
    labels: list[int] = Field(description="Positions of the labels that have images in the dataset.")
    same_id: str | None = Field(description="An equal dataset, which its POST would return.")


class PlanOut(ResponseModel):
    """What a whole job would do; nothing was stored."""

    object: Literal["plan"] = "plan"
    vocabulary: PlannedVocabularyOut | None
    dataset: PlannedDatasetOut | None
    jobs: list[JobCheckOut]


@router.post("", response_model=PlanOut)
def plan(services: ServicesDep, body: PlanIn, measure: Annotated[bool, MEASURE] = False) -> object:
    """Check a whole job before anything of it is stored or paid for, and report what it would do.

    Everything is checked that the requests for the vocabulary, the dataset and the jobs check; and, where the service
    can find out, that the student can be built and that its disk has space.
    """
    settings = services.settings
    out, jobs = plan_whole_job(body, services, lambda tx, planned: (_plan_out(tx, planned, settings), planned.jobs))
    if not measure:
        return out
    measured = [with_times(checked, job, settings) for checked, job in zip(out.jobs, jobs, strict=True)]
    return out.model_copy(update={"jobs": measured})


def _plan_out(tx: Session, planned: WholeJob, settings: Settings) -> PlanOut:
    vocabulary, dataset = planned.vocabulary, planned.dataset
    index = planned.checked.image_index if planned.checked else None
    return PlanOut(
        vocabulary=None
        if vocabulary is None
        else PlannedVocabularyOut(num_labels=vocabulary.num_labels, same_id=planned.same_vocabulary),
        dataset=None
        if dataset is None or index is None
        else PlannedDatasetOut(
            counts=dataset.counts,
            labels_per_image=dataset.labels_per_image,
            warnings=dataset.warnings,
            labels=sorted(index.num_images_of_labels.keys() - {NO_LABEL}),
            same_id=planned.same_dataset,
        ),
        jobs=[job_check(tx, job, settings) for job in planned.jobs],
    )
