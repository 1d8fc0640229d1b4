"""The labels of a dataset's images beside those of a vocabulary, of the dataset or another one: which label has no
image, and which images have no label."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from sqlalchemy.orm import Session

from api.readers.index_rows import IndexRows
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.splits import NO_LABEL
from limbeck.shared.labels import unique_names, written
from store import vocabularies
from store.models import Dataset


class CountedLabel(NamedTuple):
    """A label of the dataset's vocabulary with its number of images."""

    position: int
    label: str
    num_images: int


class LabelCoverage(NamedTuple):
    """`without_images`: the first labels of the vocabulary without an image. `without_label`: labels of the images that
    name no label of the vocabulary, or several. `num_unlabelled`: images without a label in the dataset itself."""

    num_labels: int
    num_without_images: int
    without_images: Sequence[str]
    without_label: Sequence[CountedLabel]
    num_unlabelled: int

    @property
    def num_without_label(self) -> int:
        """Images that have a label in the dataset, and none in the vocabulary."""
        return sum(one.num_images for one in self.without_label)


def images_of_labels(tx: Session, rows: IndexRows, dataset: Dataset, *, start: int, stop: int) -> list[CountedLabel]:
    """The labels of the dataset's vocabulary with their images: number `start` to `stop`, fewest images first."""
    counts = rows.label_counts(dataset.manifest_key)
    num_labels = vocabularies.get(tx, dataset.vocabulary_id).num_labels
    positions = sorted(range(num_labels), key=lambda at: counts.get(at, 0))[start:stop]
    names = _names_at(tx, dataset.vocabulary_id, positions)
    return [CountedLabel(at, names[at], counts.get(at, 0)) for at in positions]


def label_coverage(tx: Session, rows: IndexRows, dataset: Dataset, vocabulary_id: str, *, most: int) -> LabelCoverage:
    """Compare the images of a dataset with the labels of a vocabulary, as folders are matched; at most `most` labels of
    each kind are named. Raises NotFound."""
    num_labels = vocabularies.get(tx, vocabulary_id).num_labels
    counts = rows.label_counts(dataset.manifest_key)
    with_images = sorted(at for at in counts if at != NO_LABEL)
    num_unlabelled = counts.get(NO_LABEL, 0)
    covered: set[int] = set(with_images)
    without_label: list[CountedLabel] = []
    if vocabulary_id != dataset.vocabulary_id:
        covered = set()
        own = unique_names(_pairs(tx, dataset.vocabulary_id))
        matcher = _matcher(tx, vocabulary_id)
        for at in with_images:
            match matcher.find(own[at]):
                case [position]:
                    covered.add(position)
                case _:
                    without_label.append(CountedLabel(at, own[at], counts[at]))
    missing = list(islice((at for at in range(num_labels) if at not in covered), most))
    names = _names_at(tx, vocabulary_id, missing)
    return LabelCoverage(
        num_labels,
        num_labels - len(covered),
        [names[at] for at in missing],
        sorted(without_label, key=lambda one: one.num_images),
        num_unlabelled,
    )


def _matcher(tx: Session, vocabulary_id: str) -> LabelMatcher:
    labels = vocabularies.label_rows(tx, vocabulary_id)
    return LabelMatcher(unique_names([(name, sense) for name, sense, _ in labels]), None, [ids for _, _, ids in labels])


def _pairs(tx: Session, vocabulary_id: str) -> list[tuple[str, str | None]]:
    return [(name, sense) for name, sense, _ in vocabularies.label_rows(tx, vocabulary_id)]


def _names_at(tx: Session, vocabulary_id: str, positions: Sequence[int]) -> dict[int, str]:
    return {row.position: written(row.name, row.sense) for row in vocabularies.labels_at(tx, vocabulary_id, positions)}
