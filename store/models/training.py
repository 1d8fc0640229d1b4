"""What a training reads: teachers, text targets, features, uploads and datasets."""

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, Owned


class Teacher(Base):
    """The properties of a teacher that code without torch needs; written by a GPU worker that loaded the teacher."""

    __tablename__ = "teachers"
    id: Mapped[str] = mapped_column(primary_key=True)
    ref: Mapped[str] = mapped_column(index=True)
    digest: Mapped[str] = mapped_column(unique=True)
    width: Mapped[int]
    context_length: Mapped[int]
    logit_scale: Mapped[float]
    preprocess: Mapped[dict[str, object]]
    tokenizer_key: Mapped[str]
    created_at: Mapped[float]


class TextTargets(Owned, Base):
    """A teacher's text features (K, D) of the rendered texts of a vocabulary, in a file."""

    __tablename__ = "text_targets"
    id: Mapped[str] = mapped_column(primary_key=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    attribute_set_id: Mapped[str | None] = mapped_column(ForeignKey("attribute_sets.id"), index=True)
    teacher_id: Mapped[str] = mapped_column(ForeignKey("teachers.id"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))
    text: Mapped[str]
    num_labels: Mapped[int]
    width: Mapped[int]
    report: Mapped[dict[str, object]]
    file_key: Mapped[str]
    digest: Mapped[str]
    size: Mapped[int]
    created_at: Mapped[float]


class FeatureChunk(Base):
    """A teacher's features of a range of images, in a file (`distill.image_encoding`).

    `digest` covers the teacher, the view and the contents of the images: whoever needs the same features finds them.
    """

    __tablename__ = "feature_chunks"
    digest: Mapped[str] = mapped_column(primary_key=True)
    file_key: Mapped[str]
    num_rows: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]
    last_used_at: Mapped[float] = mapped_column(index=True)


class Upload(Owned, Base):
    """Files that a client sends below the upload root, as one stream of `size` bytes (`store.uploads.places`).

    `kind`: `folder` or `archive`. `status`: `receiving` or `complete`. `received`: bytes of the stream that were
    acknowledged. `reserved`: what it counts against the quota. `path`: the folder inside it that holds the images,
    once it is complete. `inputs_digest`: of its name, its kind and the list of its files.
    """

    __tablename__ = "uploads"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    num_files: Mapped[int]
    size: Mapped[int] = mapped_column(BigInteger)
    received: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger)
    path: Mapped[str]
    inputs_digest: Mapped[str]
    created_at: Mapped[float]
    updated_at: Mapped[float]
    completed_at: Mapped[float | None]
    __table_args__ = (
        Index("ix_uploads_owner_id", "owner", "id"),
        Index("ix_uploads_inputs_digest", "inputs_digest"),
        Index("ix_uploads_status_updated_at", "status", "updated_at"),
    )


class Dataset(Owned, Base):
    """Images under the data root, matched to a vocabulary and split. The image index is an artefact.

    With `upload_id`, `path` is relative to the upload and not to the data root (`store.uploads.places`).

    So are the report of the folder, which `warnings` are a part of, and the contents of the images when they were
    registered (`distill.data.dataset.trained_on`). Datasets of earlier versions have neither; with `check` `names` the
    images were not opened. `inputs_digest` covers everything that a dataset was registered with, and the contents of
    its images if they were opened; an equal dataset is not stored twice. `labels_per_image`: the mean of a multi-label
    dataset; NULL for one label an image.
    """

    __tablename__ = "datasets"
    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id"), index=True)
    vocabulary_id: Mapped[str] = mapped_column(ForeignKey("vocabularies.id"), index=True)
    name: Mapped[str]
    path: Mapped[str]
    split: Mapped[dict[str, object]]
    counts: Mapped[dict[str, int]]
    digest: Mapped[str]
    inputs_digest: Mapped[str | None] = mapped_column(index=True, unique=True)
    manifest_key: Mapped[str]
    report_key: Mapped[str | None]
    contents_key: Mapped[str | None]
    warnings: Mapped[list[str]] = mapped_column(server_default=text("'[]'"))
    labels_per_image: Mapped[float | None]
    created_at: Mapped[float]
