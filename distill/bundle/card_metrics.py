"""What an evaluation says beyond the accuracy of each part, in words for a model card.

Reads an evaluation as JSON (`distill.evaluation.accuracy.Evaluation.as_json`), and passes over what it does not hold.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

PART_NAMES = {"id": "labels trained on (held-out images)", "ood": "labels never seen"}

Part = Mapping[str, Any]


def measures(evaluation: Part) -> str:
    """Tables and sentences in Markdown, from an empty text where there is nothing more to say."""
    parts = [name for name in PART_NAMES if (evaluation.get(name) or {}).get("calibration")]
    if not parts:
        return ""
    blocks = [_parts_table([evaluation[name] for name in parts], [PART_NAMES[name] for name in parts])]
    blocks += [*_joint(evaluation.get("joint")), *_last_epochs(evaluation.get("last_epochs"))]
    return "\n\n".join(blocks)


def _parts_table(parts: Sequence[Part], heads: Sequence[str]) -> str:
    first = parts[0]
    sure = first["calibration"]
    rows: list[tuple[str, Callable[[Part], str]]] = [
        ("95% interval, other images of these labels", lambda part: _range(part["intervals"]["images"])),
        ("95% interval, other labels of this kind", lambda part: _range(part["intervals"]["labels"])),
        ("among the five best", lambda part: f"{part['top5']:.1%}"),
        (
            f"calibration error ({sure['num_bins']} bins, temperature {sure['temperature']:g})",
            lambda part: f"{part['calibration']['error']:.1%}",
        ),
    ]
    if first.get("agreement"):
        rows += _agreement_rows(first["agreement"])
    lines = [["", *heads], ["---"] * (1 + len(heads)), *([name, *map(show, parts)] for name, show in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _agreement_rows(taken_at: Part) -> list[tuple[str, Callable[[Part], str]]]:
    def show(figure: str) -> Callable[[Part], str]:
        def cell(part: Part) -> str:
            value = (part.get("agreement") or {}).get(figure)
            return "" if value is None else f"{value:.3f}"

        return cell

    return [
        ("with the teacher: cosine of features", show("feature_cosine")),
        (f"with the teacher: shared share of {taken_at['num_neighbours']} neighbours", show("neighbour_overlap")),
        ("with the teacher: linear CKA", show("linear_cka")),
        ("with the teacher: same best text", show("top1_agreement")),
        (
            f"with the teacher: KL over its best texts (256 at most, temperature {taken_at['temperature']:g})",
            show("top_texts_kl"),
        ),
    ]


def _joint(joint: Part | None) -> list[str]:
    if not joint:
        return []
    return [
        f"Among all {joint['num_labels']:,} labels at once: {joint['id_accuracy']:.1%} of the labels trained on, "
        f"{joint['ood_accuracy']:.1%} of those\nnever seen; harmonic mean {joint['harmonic_mean']:.1%} "
        f"({_range(joint['harmonic_intervals']['labels'])} over labels), chance {joint['chance']:.1%}."
    ]


def _last_epochs(last: Part | None) -> list[str]:
    if not last:
        return []
    shown = [
        f"{last[figure]:.1%} on {PART_NAMES[part]}"
        for part, figure in (("id", "id_accuracy"), ("ood", "ood_accuracy"))
        if last[figure] is not None
    ]
    count = len(last["epochs"])
    return [
        f"Mean over the last {count} epochs, as arXiv:2307.03135 reports: {' and '.join(shown)}. All else\n"
        "here is of the weights that were handed over, which no accuracy has chosen."
    ]


def _range(bounds: Sequence[float]) -> str:
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"
