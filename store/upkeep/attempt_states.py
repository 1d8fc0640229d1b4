"""Files of training states: each attempt of a part writes below its own prefix, and the row points at one of them.

    parts/PART/TOKEN/state/000007.safetensors

An attempt that dies between the upload of a state and the change of the row leaves a file that nothing points at, and
the state that a later attempt resumed from is of no use after that attempt has saved its own.
"""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.artefacts import Artefacts
from store.jobs.claims import Claim
from store.models import Part


def delete_dead_states(tx: Session, artefacts: Artefacts, claim: Claim) -> int:
    """Delete the states of earlier attempts that the row of the claimed part does not point at; returns their number.

    Nothing is deleted if the lease is lost: the row may point at the state of a later attempt then.
    """
    row = tx.execute(select(Part.state_key, Part.lease_token, Part.status).where(Part.id == claim.part_id)).one()
    if (row.lease_token, row.status) != (claim.token, "running"):
        return 0
    return delete_states(artefacts, claim.part_id, keep=(row.state_key or "", f"{claim.place}/"))


def delete_states(artefacts: Artefacts, part_id: str, *, keep: Collection[str]) -> int:
    """Delete the states of all attempts of a part except keys that begin with one of `keep`; returns their number."""
    kept = tuple(prefix for prefix in keep if prefix)
    dead = [
        file.key
        for file in artefacts.list_below(f"parts/{part_id}")
        if file.key.split("/")[3:4] == ["state"] and not file.key.startswith(kept)
    ]
    for key in dead:
        artefacts.delete_below(key)
        artefacts.delete_empty_folders("/".join(key.split("/")[:3]))
    return len(dead)
