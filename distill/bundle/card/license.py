"""The licence on a model card: as the user states it, or as the weights that the student was made from allow.

Whoever publishes a model decides on its licence, which also depends on the images and the texts. Their licences are not
recorded. This module proposes a licence from the published licences that timm records:

    a licence in the config (`bundle.license`)          that licence
    a restrictive one (non-commercial, of a vendor)   that licence, because it binds what is made from the weights
    initial weights with a permissive one             that licence
    none known, or two restrictive ones               "other", with the name "not-chosen"
"""

from dataclasses import dataclass

import timm

from distill.bundle.card.facts import escape
from distill.bundle.card.hub_names import hub_model, is_of_timm
from distill.json_types import JSONObject

PERMISSIVE = {"apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "zlib", "unlicense", "cc0-1.0"}
OF_THE_HUB = PERMISSIVE | {
    "agpl-3.0",
    "apple-amlr",
    "apple-ascl",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-4.0",
    "cc-by-nd-4.0",
    "cc-by-sa-4.0",
    "fair-noncommercial-research-license",
    "gemma",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl-3.0",
    "mpl-2.0",
    "openrail",
}
"""Identifiers that the Hub knows; any other licence is "other" there, with a name of its own."""
NOT_CHOSEN = "not-chosen"
UNKNOWN = ("", "unknown", "none")


@dataclass(frozen=True, kw_only=True)
class License:
    """The licence of the student. `chosen`: by the user. `initial`, `teacher`: of those weights, None if unknown."""

    name: str
    chosen: bool
    initial: str | None
    teacher: str | None

    def header(self) -> dict[str, str]:
        """Its fields in the header of the card."""
        if self.name in OF_THE_HUB:
            return {"license": self.name}
        return {"license": "other", "license_name": self.name}

    def paragraph(self, source: str, teacher: str) -> str:
        """What is known, in Markdown. `source`: of the initial weights; `teacher`: its reference."""
        start = "" if source == "random" else f"Weights before training ({escape(source)}): {_shown(self.initial)}. "
        known = f"{start}Teacher ({escape(teacher)}): {_shown(self.teacher)}. Images and texts: not recorded."
        if self.chosen:
            return f"{escape(self.name)}, as stated in the config of the run.\n\n{known}"
        if self.name == NOT_CHOSEN:
            return (
                "No licence was chosen for these weights, and none follows from what they were made from.\n\n"
                f"{known} State a licence with `bundle.license` in the config of the run, or in the header of this "
                "file before you publish it."
            )
        return (
            f"{escape(self.name)}, proposed from the licences of the weights that the student was made from; whoever "
            f"publishes it decides.\n\n{known}"
        )


def derive_license(stated: str | None, initial_weights: JSONObject, teacher: str) -> License:
    """The licence of a student. `initial_weights`: `InitialWeightsJSON`; `teacher`: its reference."""
    initial, of_teacher = _known(initial_weights.get("license")), _teacher_license(teacher)
    restrictive = {name for name in (initial, of_teacher) if name and name not in PERMISSIVE}
    if stated:
        name = stated
    elif len(restrictive) == 1:
        (name,) = restrictive
    else:
        name = NOT_CHOSEN if restrictive or initial is None else initial
    return License(name=name, chosen=bool(stated), initial=initial, teacher=of_teacher)


def _teacher_license(teacher: str) -> str | None:
    """The licence that timm records for the weights of a teacher; None for one that timm does not list."""
    name = hub_model(teacher)
    if name is None or not is_of_timm(name):
        return None
    cfg = timm.get_pretrained_cfg(name.removeprefix("timm/"))
    return _known(cfg.license if cfg else None)


def _known(name: object) -> str | None:
    return name if isinstance(name, str) and name.lower() not in UNKNOWN else None


def _shown(name: str | None) -> str:
    return f"licence {escape(name)}" if name else "licence unknown"
