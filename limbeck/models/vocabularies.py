"""Vocabularies and their labels."""

from datetime import datetime

from limbeck.models.base import ServiceResponse


class Vocabulary(ServiceResponse):
    """An ordered, immutable list of labels. `domain` is their category (birds)."""

    id: str
    name: str
    domain: str
    digest: str
    num_labels: int
    owner: str | None = None
    created_at: datetime


class Label(ServiceResponse):
    """A label and its position; `sense` distinguishes labels with the same name.

    `ids`: its identifiers in the label file, such as `wnid` and `index`, and its `aliases`; None if it has none.
    """

    position: int
    name: str
    sense: str | None
    ids: dict[str, str | list[str]] | None


class CreatedVocabulary(Vocabulary):
    """A new vocabulary. `read_as`: the form of its label file, None for a JSON body of the API's own schema; `notes`:
    what was changed or dropped; `warnings`: what to check. `reused`: an equal one existed, and this is that one."""

    reused: bool = False
    read_as: str | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class LabelPreview(ServiceResponse):
    """What a label file would become: the report, and the first `labels`."""

    num_labels: int
    read_as: str | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    labels: tuple[Label, ...]
