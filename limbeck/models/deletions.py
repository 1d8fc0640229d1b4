"""What a deletion has deleted."""

from typing import Literal, Self

from limbeck.models.base import ServiceResponse

ResourceKind = Literal[
    "job", "upload", "vocabulary", "attribute_set", "dataset", "text_targets", "caption_set", "checkpoint"
]

_KINDS = {"vocabularies": "vocabulary", "text-targets": "text_targets"}


class DeletedResource(ServiceResponse):
    """A resource that was deleted."""

    kind: ResourceKind | str
    id: str


class Deletion(ServiceResponse):
    """What was deleted: the resource, and with `force` what referred to it (the first 1,000). `counts`: by kind."""

    deleted: tuple[DeletedResource, ...]
    counts: dict[str, int]

    @classmethod
    def of_one(cls, resource: str, id: str) -> Self:
        """The deletion of a single resource, named as in paths: `attribute-sets`."""
        kind = _KINDS.get(resource, resource.removesuffix("s").replace("-", "_"))
        return cls(deleted=(DeletedResource(kind=kind, id=id),), counts={kind: 1})
