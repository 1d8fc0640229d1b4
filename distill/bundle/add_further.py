"""Adds what was measured beside accuracy to an existing bundle: its evaluation, its plots and its model card."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from distill.bundle.add_files import add_files
from distill.bundle.card.further import with_further
from distill.bundle.common_files import encoded, write_json
from distill.bundle.optional_parts import CARD_FILE
from distill.bundle.verify import Manifest
from distill.data.atomic_files import write_bytes
from distill.json_types import FurtherJSON, NoneOfTheseJSON, OpenSetJSON, StudentEvaluation, UnknownResultJSON
from distill.texts.text_targets import TextTargets
from limbeck.shared.bundle.open_set import OUTLIERS_FILE

EVALUATION = "evaluation.json"


def save_further(
    bundle: Path,
    manifest: Manifest,
    further: FurtherJSON,
    by_score: Mapping[str, NoneOfTheseJSON] | None = None,
    outliers: TextTargets | None = None,
) -> list[str]:
    """Write the results into the bundle, beside those that it has; returns the names of the changed files.

    Its accuracies stay: they are of the images of its training. So do results for far unknowns and outlier labels that
    were not measured again, if the known images are the same. `by_score`: thresholds of "none of these" by other scores
    than the cosine, of which the bundle gets those that it lacks, and that of new `outliers` with their texts. The
    manifest lists the new files. Raises OSError.
    """
    before: StudentEvaluation = json.loads((bundle / EVALUATION).read_text(encoding="utf-8"))
    evaluation: StudentEvaluation = {**before, **further}
    if (old := before.get("open_set")) and (new := further.get("open_set")):
        evaluation["open_set"] = _with_open_set(old, new)
    if thresholds := _with_thresholds(before, by_score or {}):
        evaluation["none_of_these_by_score"] = thresholds
    with tempfile.TemporaryDirectory(prefix=f".{bundle.name}.", dir=bundle.absolute().parent) as folder:
        draft = Path(folder) / "draft"
        draft.mkdir()
        write_json(draft / EVALUATION, evaluation)
        if outliers is not None and by_score and "outliers" in by_score:
            (draft / OUTLIERS_FILE).parent.mkdir()
            outliers.save(draft / OUTLIERS_FILE)
        from distill.bundle.card.further_plots import draw_further  # late, because it imports matplotlib

        draw_further(evaluation, draft)
        card = bundle / CARD_FILE
        if card.is_file():
            write_bytes(draft / CARD_FILE, encoded(with_further(card.read_text(encoding="utf-8"), before, evaluation)))
        return add_files(bundle, draft, manifest, manifest.get("left_out", {}))


def _with_thresholds(before: StudentEvaluation, by_score: Mapping[str, NoneOfTheseJSON]) -> dict[str, NoneOfTheseJSON]:
    """The thresholds of the bundle and those that it lacks; that of look-alikes is about the latest ones."""
    known = before.get("none_of_these_by_score", {})
    return {**by_score, **known, **{name: one for name, one in by_score.items() if name == "outliers"}}


def _with_open_set(before: OpenSetJSON, new: OpenSetJSON) -> OpenSetJSON:
    """The new results, and the earlier ones of unknown images and scores that are not among them.

    Those of other known images are left out: figures of different images are not comparable in one table.
    """
    if (before["num_labels"], before["num_images"]) != (new["num_labels"], new["num_images"]):
        return new
    measured = {one["kind"]: one for one in new["unknown"]}
    unknown = [_with_scores(old, measured.pop(old["kind"], old)) for old in before["unknown"]] + [*measured.values()]
    num_outliers = new["num_outliers"] or before["num_outliers"]
    return {**new, "unknown": unknown, "num_outliers": num_outliers}


def _with_scores(before: UnknownResultJSON, new: UnknownResultJSON) -> UnknownResultJSON:
    if (before["source"], before["num_images"]) != (new["source"], new["num_images"]):
        return new
    names = {one["score"] for one in new["scores"]}
    return {**new, "scores": new["scores"] + [one for one in before["scores"] if one["score"] not in names]}
