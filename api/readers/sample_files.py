"""Reads the images of one label from the samples of a student, JSON lines sorted by label that
`distill.evaluation.samples.save_samples` wrote."""

import json
from typing import NamedTuple

from store.artefacts import Artefacts


class StoredSample(NamedTuple):
    """An evaluated image in a row of the image index. `guesses`: (label, confidence) of prediction and runner-up."""

    row: int
    is_right: bool
    guesses: list[tuple[str, float]]


def read_samples(artefacts: Artefacts, key: str, label: str) -> list[StoredSample]:
    """The images of a label, mistakes first; empty for a label without images. Raises FileNotFoundError."""
    start = f"[{json.dumps(label, ensure_ascii=False)}, ".encode("utf-8", "surrogatepass")
    found = []
    with artefacts.open(key) as lines:
        for line in lines:
            if line.startswith(start):
                _, row, is_right, guesses = json.loads(line)
                found.append(StoredSample(row, is_right, [(guess, confidence) for guess, confidence in guesses]))
            elif found:
                break
    return found
