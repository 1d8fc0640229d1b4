"""Checkpoints: the bundle of a trained student, its files, and those of epochs."""

from collections.abc import Mapping, Sequence

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, validates

from store.models.base import Base, Owned

_EMPTY = text("'{}'")
_OF_ONE_LABEL = ("accuracy", "intervals", "harmonic_mean", "harmonic_intervals", "num_labels", "num_images", "chance")
_OF_SEVERAL_LABELS = ("mean_ap", "id_mean_ap", "ood_mean_ap", "intervals", "num_labels", "num_images", "chance")


def headline_of(evaluation: Mapping[str, object]) -> dict[str, object]:
    """The few figures of each part of an evaluation that do not grow with the number of labels."""
    several = evaluation.get("multi_label")
    found: dict[str, object] = dict(_few(evaluation, _OF_ONE_LABEL))
    return found | ({"multi_label": _few(several, _OF_SEVERAL_LABELS)} if isinstance(several, Mapping) else {})


def _few(parts: Mapping[str, object], names: Sequence[str]) -> dict[str, dict[str, object]]:
    return {
        part: {name: figures[name] for name in names if name in figures}
        for part, figures in parts.items()
        if isinstance(figures, Mapping)
    }


class Checkpoint(Owned, Base):
    """The bundle of a trained student. `samples_key`: some images of each label with what it took them for
    (`distill.evaluation.samples`). `headline`: always that of `evaluation`, for lists, which would else read megabytes
    per row."""

    __tablename__ = "checkpoints"
    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"))
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"))
    attribute_set_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"), index=True)
    text_targets_id: Mapped[str] = mapped_column(ForeignKey("text_targets.id"))
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.id"))
    student: Mapped[str]
    text: Mapped[str]
    evaluation: Mapped[dict[str, object]]
    headline: Mapped[dict[str, object]] = mapped_column(server_default=_EMPTY)
    digest: Mapped[str]
    samples_key: Mapped[str | None]
    created_at: Mapped[float]

    @validates("evaluation")
    def _keep_headline(self, _name: str, evaluation: dict[str, object]) -> dict[str, object]:
        self.headline = headline_of(evaluation)
        return evaluation


class CheckpointFile(Base):
    """A file of a bundle, which consists of its `BlobPiece` rows. `file_key`: its artefact, of an earlier release."""

    __tablename__ = "checkpoint_files"
    checkpoint_id: Mapped[str] = mapped_column(ForeignKey("checkpoints.id"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    file_key: Mapped[str | None]


class EpochCheckpoint(Base):
    """A student after an epoch of a training. `metrics`: on held-out images of ID labels, null without such images."""

    __tablename__ = "epoch_checkpoints"
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    step: Mapped[int]
    metrics: Mapped[dict[str, float] | None]
    created_at: Mapped[float]


class EpochFile(Base):
    """A file of an `EpochCheckpoint`. Checkpoints of a job share the artefacts of files that are equal."""

    __tablename__ = "epoch_files"
    job_id: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    size: Mapped[int] = mapped_column(BigInteger)
    file_key: Mapped[str] = mapped_column(index=True)
    __table_args__ = (
        ForeignKeyConstraint(["job_id", "epoch"], ["epoch_checkpoints.job_id", "epoch_checkpoints.epoch"]),
    )
