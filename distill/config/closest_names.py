"""Closest names: which known names an unknown setting, loss, student or teacher resembles. Imports no torch."""

import difflib
from collections.abc import Iterable


def closest_names(name: str, known: Iterable[str], *, limit: int = 3, cutoff: float = 0.5) -> list[str]:
    """Up to `limit` of the known names, most similar first; `cutoff` is the least similarity, 0..1."""
    return difflib.get_close_matches(name, list(known), n=limit, cutoff=cutoff)
