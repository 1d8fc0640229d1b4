"""The log of a distill job in the operator's loggers: TensorBoard, Weights & Biases, MLflow.

The train part and the evaluate part, which may run on different machines, continue one record: its id is the job's.
"""

from distill.training.distributed import current_ranks
from distill.training.loggers.record import RunRecord
from distill.training.loggers.run_log import RunLog
from store import resources
from store.jobs.claims import Claim
from store.jobs.specs import DistillSpec
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal


def open_run_log(
    context: Context, claim: Claim, lease: LeaseRenewal, spec: DistillSpec, *, teacher_digest: str
) -> RunLog:
    """The log of the claim's job; only the first rank writes one. A logger that fails is a warning of the job."""
    settings = context.settings
    with context.db.read() as tx:
        dataset = resources.dataset(tx, spec.dataset_id)
    record = RunRecord(
        id=claim.job_id,
        name=f"{dataset.name} {claim.job_id}",
        folder=settings.home,
        events=(settings.tensorboard_dir or settings.home / "tensorboard") / claim.job_id,
        settings={"recipe": spec.recipe, **spec.config.flat()},
        tags={
            "job": claim.job_id,
            "dataset": dataset.digest,
            "dataset_id": spec.dataset_id,
            "teacher": teacher_digest,
            "teacher_ref": spec.teacher,
            "text": spec.text,
            **({"attribute_set_id": spec.attribute_set_id} if spec.attribute_set_id else {}),
        },
    )
    loggers = settings.loggers if current_ranks().is_first else ()
    return RunLog(loggers, record, warn=lambda message: lease.note(message, level="warning"))
