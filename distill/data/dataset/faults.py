"""What matches nothing or several things, collected so that one error names all of it. Imports no torch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from distill.data.image_folders import FolderError

_MAX_SHOWN = 20


class MatchFault(NamedTuple):
    """One fault of a dataset: code, detail and pointer as in FolderError. `unknown`: the name that is not a label."""

    code: str
    detail: str
    pointer: str
    unknown: str = ""


def raise_if_any(faults: Sequence[MatchFault], near: Callable[[str], Sequence[str]], hint: str = "") -> None:
    """Raise one FolderError for all faults, with the code and pointer of the first; returns if there are none.

    `near`: similar labels of an unknown name. `hint`: what else to do about unknown names.
    """
    if not faults:
        return
    shown = [fault.detail + _similar(near(fault.unknown) if fault.unknown else ()) for fault in faults[:_MAX_SHOWN]]
    more = f"; and {len(faults) - _MAX_SHOWN:,} more" if len(faults) > _MAX_SHOWN else ""
    head = f"{len(faults):,} names cannot be matched: " if len(faults) > 1 else ""
    tail = f"; {hint}" if hint and any(fault.unknown for fault in faults) else ""
    raise FolderError(faults[0].code, f"{head}{'; '.join(shown)}{more}{tail}", faults[0].pointer)


def _similar(names: Sequence[str]) -> str:
    return f"; near: {', '.join(names)}" if names else ""
