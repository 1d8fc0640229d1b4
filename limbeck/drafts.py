"""Drafts of attribute sets: `Limbeck(…).drafts`.

    draft = limbeck.drafts.get(set_id)
    limbeck.drafts.change(
        set_id,
        [{"op": "add", "label": "crane", "sense": "bird", "kind": "phrase", "text": "a red crown"}],
        version=draft.version,
    )
    better = limbeck.drafts.seal(set_id)

An operation names its label by `position`, or by `label` (and `sense`, if it has one):

    add            `kind`, `text`; optional `part`, `value`, `about`, `other_value`, `locked`, `before` (a line id)
    edit           `line` (its id), and the fields to change
    delete         `line`
    lock, unlock   `line`, or all lines of the label if left out
    replace        `lines`, which replace all lines
    revert         restores the lines of the set
"""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from limbeck.http import Http
from limbeck.models import Attributes, AttributeSet, Draft, DraftChanged


class Drafts:
    """Drafts of attribute sets, one per set. Raises as `Limbeck` does; a stale version is a Problem of status 412."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def get(self, set_id: str) -> Draft:
        """The state of the draft; version 0 means no edits."""
        return Draft.model_validate(self._http.json("GET", _path(set_id)))

    def labels(self, set_id: str) -> Iterator[Attributes]:
        """The labels that the draft changes, with their lines in the draft."""
        return (
            Attributes.model_validate(item) for item in self._http.items(f"{_path(set_id)}/labels", {"limit": 1000})
        )

    def change(self, set_id: str, operations: Sequence[Mapping[str, object]], *, version: int | None) -> DraftChanged:
        """Apply the operations, all or none, if the draft is at `version` (None: at any version)."""
        body = {"operations": [dict(operation) for operation in operations]}
        response = self._http.json("PATCH", _path(set_id), body=body, headers=_if_match(version))
        return DraftChanged.model_validate(response)

    def drop(self, set_id: str, *, version: int | None = None) -> Draft:
        """Discard all edits of the draft."""
        return Draft.model_validate(self._http.json("DELETE", _path(set_id), headers=_if_match(version)))

    def seal(self, set_id: str, *, version: int | None = None) -> AttributeSet:
        """Seal the draft: create a new set, whose parent is this set."""
        response = self._http.json("POST", f"{_path(set_id)}/seal", headers=_if_match(version))
        return AttributeSet.model_validate(response)


def _path(set_id: str) -> str:
    return f"/v1/attribute-sets/{quote(set_id, safe='')}/draft"


def _if_match(version: int | None) -> dict[str, str]:
    return {"If-Match": "*" if version is None else f'"{version}"'}
