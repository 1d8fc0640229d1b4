"""Average precision, threshold and worst labels of a multi-label student, as Markdown for the model card."""

from collections.abc import Iterator, Mapping, Sequence

from distill.bundle.card.facts import escape, share, table, text_title
from distill.bundle.card.metrics import PART_NAMES
from distill.json_types import (
    EvaluatedPart,
    EvaluationJSON,
    JointPrecisionJSON,
    LabelThresholdJSON,
    MultiLabelJSON,
    PartPrecisionJSON,
    StudentEvaluation,
)

NUM_WORST = 10
MEASURE = (
    "Mean average precision (mAP): how well the images of a label are ranked before the others by the cosine to its\n"
    "text, averaged over labels. Held-out images are ranked for the seen labels, images of unseen labels for the\n"
    "unseen ones. An image can have several labels."
)

Parts = Mapping[EvaluatedPart, PartPrecisionJSON]


def precision_parts(found: MultiLabelJSON) -> Parts:
    """The parts that were measured."""
    return {name: part for name in PART_NAMES if (part := found[name])}


def precision_markdown(evaluation: StudentEvaluation, found: MultiLabelJSON) -> str:
    """The table of the student, its teacher and chance."""
    parts = precision_parts(found)
    if not parts:
        return "The student was not evaluated."
    rows = [["", "texts", *(PART_NAMES[name] for name in parts)], _row("**student**", evaluation, found, parts)]
    rows += [_row("teacher", one, one["multi_label"], parts) for one in _teachers(evaluation)]
    rows.append(["chance", "", *(share(part["chance"]) for part in parts.values())])
    rows.append(["labels", "", *(f"{part['num_labels']:,}" for part in parts.values())])
    rows.append(["images", "", *(f"{part['num_images']:,}" for part in parts.values())])
    intervals = [part["intervals"] for part in parts.values()]
    rows.append(["95% interval over other images of these labels", "", *(_range(one["images"]) for one in intervals)])
    rows.append(["95% interval over other labels of this kind", "", *(_range(one["labels"]) for one in intervals)])
    return table(rows)


def threshold_markdown(found: MultiLabelJSON) -> str:
    """Sentences about all labels at once, and about the threshold from which an image has a label."""
    return "\n\n".join((*_joint(found["joint"]), *_threshold(found["threshold"], found["ood"])))


def worst_blocks(found: MultiLabelJSON) -> Iterator[str]:
    """Tables of the labels with the lowest average precision."""
    for name, part in precision_parts(found).items():
        worst = sorted((value, label) for label, value in part["per_label"].items() if value < 1)[:NUM_WORST]
        if worst:
            yield f"Lowest average precisions, {PART_NAMES[name]}:"
            rows = [[escape(label), share(value), f"{part['images_per_label'][label]:,}"] for value, label in worst]
            yield table([["label", "average precision", "images"], *rows])


def _range(bounds: Sequence[float]) -> str:
    return f"{share(bounds[0])} to {share(bounds[1])}"


def _row(name: str, evaluation: EvaluationJSON, found: MultiLabelJSON, parts: Parts) -> list[str]:
    results = (found[one] for one in parts)
    return [name, text_title(evaluation), *(share(result["mean_ap"]) if result else "" for result in results)]


def _teachers(evaluation: StudentEvaluation) -> Iterator[EvaluationJSON]:
    return (one for one in evaluation.get("teacher") or () if one.get("multi_label"))


def _joint(joint: JointPrecisionJSON | None) -> Iterator[str]:
    if joint:
        yield (
            f"With all {joint['num_images']:,} measured images ranked for every label: {share(joint['id_mean_ap'])} on "
            f"seen labels, {share(joint['ood_mean_ap'])} on unseen labels."
        )


def _threshold(threshold: LabelThresholdJSON | None, ood: PartPrecisionJSON | None) -> Iterator[str]:
    if threshold is None:
        yield "There were too few held-out images to choose a threshold from which an image has a label."
        return
    measured = threshold["decisions"]
    text = (
        f"An image has a label if their cosine is at least {threshold['threshold']:.4f}: the threshold with the "
        f"largest F1 on\n{threshold['num_images']:,} held-out images. On seen labels its precision is "
        f"{share(measured['precision'])},\nits recall {share(measured['recall'])} (F1 {share(measured['f1'])}; each "
        "half of the images by the threshold of the other)"
    )
    if ood is not None and (unseen := ood["decisions"]):
        text += (
            f"; on unseen labels {share(unseen['precision'])} and {share(unseen['recall'])} (F1 {share(unseen['f1'])})"
        )
    yield f"{text}."
