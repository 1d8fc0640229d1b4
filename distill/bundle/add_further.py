"""Adds what was measured beside accuracy to an existing bundle: its evaluation, its plots and its model card."""

import json
import tempfile
from pathlib import Path

from distill.bundle.add_files import add_files
from distill.bundle.card.further import with_further
from distill.bundle.card.further_plots import draw_further
from distill.bundle.common_files import encoded, write_json
from distill.bundle.optional_parts import CARD_FILE
from distill.bundle.verify import Manifest
from distill.data.atomic_files import write_bytes
from distill.json_types import FurtherJSON, StudentEvaluation

EVALUATION = "evaluation.json"


def save_further(bundle: Path, manifest: Manifest, further: FurtherJSON) -> list[str]:
    """Write the results into the bundle, beside those that it has; returns the names of the changed files.

    Its accuracies stay: they are of the images of its training. The manifest lists the new files. Raises OSError.
    """
    before: StudentEvaluation = json.loads((bundle / EVALUATION).read_text(encoding="utf-8"))
    evaluation: StudentEvaluation = {**before, **further}
    with tempfile.TemporaryDirectory(prefix=f".{bundle.name}.", dir=bundle.absolute().parent) as folder:
        draft = Path(folder) / "draft"
        draft.mkdir()
        write_json(draft / EVALUATION, evaluation)
        draw_further(evaluation, draft)
        card = bundle / CARD_FILE
        if card.is_file():
            write_bytes(draft / CARD_FILE, encoded(with_further(card.read_text(encoding="utf-8"), before, evaluation)))
        return add_files(bundle, draft, manifest, manifest.get("left_out", {}))
