"""Drafts of attribute sets: `Limbeck(…).drafts`.

    draft = limbeck.drafts.get(set_id)
    limbeck.drafts.change(
        set_id,
        [{"op": "add", "label": "crane", "sense": "bird", "kind": "phrase", "text": "a red crown"}],
        version=draft.version,
    )
    better = limbeck.drafts.seal(set_id)

An operation names its label by `position`, or by `label` (with `sense` where it has one):

    add            `kind`, `text`, what fits of `part`, `value`, `about`, `other_value`, `locked`, `before` (an id)
    edit           `line` (its id), and what is to be other
    delete         `line`
    lock, unlock   `line`, or all of the label's
    replace        `lines`, in place of all
    revert         back to what the set has
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from limbeck.http import Http
from limbeck.models import Attributes, AttributeSet, Draft, DraftChanged


class Drafts:
    """The draft that each set has. Raises as `Limbeck` does; a stale version is a Problem of status 412."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, set_id: str) -> Draft:
        """How far the draft is; version 0 where nobody has touched it."""
        return Draft.model_validate(self._http.json("GET", _path(set_id)))

    def labels(self, set_id: str) -> Iterator[Attributes]:
        """The labels that the draft changes, as it has them."""
        return (Attributes.model_validate(one) for one in self._http.every(f"{_path(set_id)}/labels", limit=1000))

    def change(self, set_id: str, operations: Sequence[Mapping[str, Any]], *, version: int | None) -> DraftChanged:
        """Make the changes, all of them or none, if the draft is still at this version; None: whatever it is at."""
        body = {"operations": [dict(operation) for operation in operations]}
        answer = self._http.json("PATCH", _path(set_id), body=body, headers=_if_match(version))
        return DraftChanged.model_validate(answer)

    def drop(self, set_id: str, *, version: int | None = None) -> Draft:
        """Forget all edits that are not sealed."""
        return Draft.model_validate(self._http.json("DELETE", _path(set_id), headers=_if_match(version)))

    def seal(self, set_id: str, *, version: int | None = None) -> AttributeSet:
        """Make the draft a new set, whose parent is this one."""
        answer = self._http.json("POST", f"{_path(set_id)}/seal", headers=_if_match(version))
        return AttributeSet.model_validate(answer)


def _path(set_id: str) -> str:
    return f"/v1/attribute-sets/{quote(set_id, safe='')}/draft"


def _if_match(version: int | None) -> dict[str, str]:
    return {"If-Match": "*" if version is None else f'"{version}"'}
