"""The hook of a training that stores checkpoints of its student after every n-th epoch.

`store.lifecycle.epoch_checkpoints` has their rows. One that cannot be stored is a warning, and the training goes on.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from distill.bundle.epoch_bundle import write_epoch_bundle
from distill.data.image_index import ImageIndex
from distill.evaluation.accuracy import Evaluation
from distill.evaluation.epochs import EpochEvaluation
from distill.pipeline import bundle_weights
from distill.teacher.teacher import Teacher
from distill.texts.student_texts import targets_with_context
from distill.texts.text_targets import TextTargets
from distill.training.hooks import CopyStudent, StudentNow
from store.artefacts import StoredArtefact
from store.jobs.claims import Claim
from store.jobs.specs import DistillSpec
from store.lifecycle import epoch_checkpoints
from store.upkeep.unused_artefacts import delete_unreferenced
from workers.gpu import inputs
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal

log = structlog.get_logger()


@dataclass(frozen=True, eq=False, kw_only=True)
class CheckpointSaver:
    """The hook `on_checkpoint` of a distill job. `folder`: for files until they are stored."""

    context: Context
    claim: Claim
    lease: LeaseRenewal
    spec: DistillSpec
    teacher: Teacher
    targets: TextTargets
    text_targets_id: str
    image_index: ImageIndex
    evaluation: EpochEvaluation
    folder: Path

    def __call__(self, epoch: int, copy_student: CopyStudent) -> None:
        """Store the student after this epoch if the job wants it and does not have it yet. Raises LeaseLost."""
        wanted = self.spec.save_checkpoints
        if wanted is None or epoch % wanted.every_epochs:
            return
        try:
            with self.context.db.read() as tx:
                if not epoch_checkpoints.is_wanted(tx, self.claim.job_id, epoch, keep=wanted.keep):
                    return
            unused = self._store(epoch, copy_student(), wanted.keep)
            delete_unreferenced(self.context.db, self.context.artefacts, unused)
        except (OSError, SQLAlchemyError, ValueError) as error:
            log.warning("checkpoint_not_saved", part=self.claim.part_id, epoch=epoch, error=str(error)[:300])
            message = f"the checkpoint of epoch {epoch} is not saved ({type(error).__name__}); the training goes on"
            self.lease.note(message, level="warning", epoch=epoch)

    def _store(self, epoch: int, now: StudentNow, keep: int) -> list[str]:
        """Evaluate and store a student. Returns the keys of files that its row, or the rows that it drops, had."""
        weights = bundle_weights(now.student)
        measured = self.evaluation.held_out(now.student, now.context)
        now.student.model.to("cpu")
        with tempfile.TemporaryDirectory(prefix="epoch-", dir=self.folder) as name:
            bundle = Path(name)
            files = write_epoch_bundle(
                bundle,
                student=weights,
                teacher=self.teacher,
                targets=targets_with_context(
                    self.teacher,
                    self.targets,
                    now.context,
                    second_stop=self.spec.config.objective.second_stop,
                ),
                labels=inputs.bundle_labels(self.context, self.spec, self.image_index),
                evaluation=measured.as_json(),
                provenance={
                    **inputs.provenance(
                        self.context, self.claim, self.spec, now.student, text_targets_id=self.text_targets_id
                    ),
                    "epoch": epoch,
                    "step": now.step,
                },
            )
            with self.context.db.read() as tx:
                known = epoch_checkpoints.stored_files(tx, self.claim.job_id)
            stored: list[tuple[str, StoredArtefact]] = []
            for path, sha256, _ in files:
                key = f"{self.claim.place}/epochs/{epoch:06d}/{path}"
                stored.append((path, known.get(sha256) or self.context.artefacts.put_file(bundle / path, key)))
        with self.context.db.write() as tx:
            return epoch_checkpoints.add(
                tx,
                self.claim,
                epoch=epoch,
                step=now.step,
                metrics=_metrics(measured),
                files=stored,
                keep=keep,
                message=_message(self.claim.job_id, epoch, measured),
            )


def _metrics(measured: Evaluation) -> dict[str, float] | None:
    """The figures of the held-out images; None without such images."""
    if measured.multi_label is not None and (precision := measured.multi_label.id) is not None:
        figures = {"mean_ap": precision.mean_ap, "chance": precision.chance}
        return {**figures, "num_images": precision.num_images, "num_labels": precision.num_labels}
    if (accuracy := measured.id) is None:
        return None
    return {
        "accuracy": accuracy.accuracy,
        "top5": accuracy.top5,
        "chance": accuracy.chance,
        "num_images": accuracy.num_images,
        "num_labels": accuracy.num_labels,
    }


def _message(job_id: str, epoch: int, measured: Evaluation) -> str:
    found = ""
    if measured.multi_label is not None and measured.multi_label.id is not None:
        found = f": mAP {measured.multi_label.id.mean_ap:.1%} of held-out images"
    elif measured.id is not None:
        found = f": accuracy {measured.id.accuracy:.1%} of held-out images"
    return f"checkpoint of epoch {epoch}{found} (limbeck download {job_id} --epoch {epoch} --out FOLDER)"
