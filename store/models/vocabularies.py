"""Vocabularies and their labels."""

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from store.models.base import Base, Owned


class Vocabulary(Owned, Base):
    """An ordered list of labels and their domain.

    `digest` covers the domain, the names and the senses; `inputs_digest` also the identifiers of the labels. An equal
    vocabulary is not stored twice. Vocabularies of earlier versions have no `inputs_digest`.
    """

    __tablename__ = "vocabularies"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    domain: Mapped[str]
    digest: Mapped[str]
    inputs_digest: Mapped[str | None] = mapped_column(index=True, unique=True)
    num_labels: Mapped[int]
    created_at: Mapped[float]


class Label(Base):
    """A label and its position in a vocabulary; `sense` distinguishes labels of the same name.

    `ids`: the identifiers and aliases that the label file gives. They are not part of the vocabulary's digest.
    """

    __tablename__ = "labels"
    vocabulary_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    sense: Mapped[str | None]
    folded: Mapped[str]  # case-folded name and sense, for lookups and search
    ids: Mapped[dict[str, str | list[str]] | None]
    __table_args__ = (Index("ix_labels_vocabulary_id_folded", "vocabulary_id", "folded"),)
