"""Where a student fails, as Markdown for the model card: its worst labels, its confusions, and what was not measured.

The interval of a label is Wilson's (1927) for the share of its images; with few images it is wide.
"""

import math
from collections.abc import Iterator, Sequence

from distill.bundle.card.facts import CardFacts, escape, share, table
from distill.bundle.card.metrics import frequent_confusions, measured_parts, num_wrong
from distill.bundle.card.multi_label.markdown import precision_parts, worst_blocks
from distill.json_types import ConfusionJSON, EvaluationJSON, LabelSetJSON, MultiLabelJSON
from limbeck.shared.text import counted

NUM_WORST = 10
NUM_CONFUSIONS = 10
FEW_IMAGES = 10
WELL_CALIBRATED = 0.02
Z_95 = 1.959964


def weaknesses_markdown(facts: CardFacts) -> str:
    """Tables, sentences and a list of limits."""
    several = facts.evaluation.get("multi_label")
    if several is not None:
        limits = "\n".join(f"- {limit}" for limit in _multi_label_limits(facts, several))
        return "\n\n".join((*worst_blocks(several), limits))
    parts = measured_parts(facts.evaluation)
    blocks = [block for title, part in parts.items() for block in _part_blocks(title, part)]
    blocks.append("\n".join(f"- {limit}" for limit in _limits(facts, list(parts.values()))))
    return "\n\n".join(blocks)


def limits_by_further(evaluation: EvaluationJSON) -> Sequence[str]:
    """The limits that depend on what was measured beside accuracy: of other domains, and of images of other things."""
    domains = "Differences between groups of people were not measured."
    if not evaluation.get("domains"):
        domains = (
            "Images of other cameras, backgrounds, regions or seasons than those of the dataset, and differences "
            "between groups of people, were not measured."
        )
    threshold = evaluation.get("none_of_these")
    if not threshold:
        return domains, (
            "An image that shows none of the labels is classified as one of them: the student has no threshold, which "
            "needs 20 or more held-out images of seen labels."
        )
    return domains, (
        "An image shows none of the labels if its largest cosine to their texts is below "
        f"{threshold['threshold']:.3f}. This rejects {share(threshold['false_alarm_rate'])} of "
        f"{threshold['num_images']:,} held-out images of seen labels too (false alarms). {_rejected(evaluation)}"
        f"{''.join(_by_other_scores(evaluation))}"
    )


def _by_other_scores(evaluation: EvaluationJSON) -> Iterator[str]:
    """The thresholds of other scores than the cosine, each in a sentence."""
    for name, one in evaluation.get("none_of_these_by_score", {}).items():
        yield (
            f" By the score {name} (`limbeck classify --score {name}`) the threshold is {one['threshold']:.3f}, with "
            f"{share(one['false_alarm_rate'])} false alarms on {one['num_images']:,} such images."
        )


def wilson_interval(accuracy: float, num_images: int) -> tuple[float, float]:
    """95% interval of a share of `num_images`, at least 1."""
    z2 = Z_95**2 / num_images
    centre = accuracy + z2 / 2
    half = Z_95 * math.sqrt((accuracy * (1 - accuracy) + z2 / 4) / num_images)
    return max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))


def _part_blocks(title: str, part: LabelSetJSON) -> Iterator[str]:
    wrong = [(label, accuracy) for label, accuracy in part["per_label"].items() if accuracy < 1]
    worst = sorted(wrong, key=lambda item: item[1])[:NUM_WORST]
    if worst:
        yield f"Lowest accuracies, {title}:"
        yield table(_worst_rows(part, worst))
        if more := sum(accuracy == worst[-1][1] for _, accuracy in wrong) - sum(a == worst[-1][1] for _, a in worst):
            yield f"{more:,} more labels have {share(worst[-1][1])}."
    if part.get("confusions"):
        pairs = frequent_confusions(part)[:NUM_CONFUSIONS]
        yield f"Most frequent confusions, {title}{_of_all_errors(part, pairs)}:"
        rows = [
            [escape(pair["label"]), escape(pair["taken_for"]), f"{pair['num_images']:,}", share(pair["share"])]
            for pair in pairs
        ]
        yield table([["label", "classified as", "images", "of the label's images"], *rows])
    if sentence := _calibration_sentence(title, part):
        yield sentence


def _worst_rows(part: LabelSetJSON, worst: Sequence[tuple[str, float]]) -> Iterator[list[str]]:
    taken_for = {pair["label"]: pair["taken_for"] for pair in reversed(part.get("confusions") or ())}
    counts = part.get("images_per_label")
    yield ["label", "accuracy", *(["images", "95% interval"] if counts else []), "often classified as"]
    for label, accuracy in worst:
        cells = [escape(label), share(accuracy)]
        if counts:
            low, high = wilson_interval(accuracy, counts[label])
            cells += [f"{counts[label]:,}", f"{share(low)} to {share(high)}"]
        yield [*cells, escape(taken_for.get(label, ""))]


def _of_all_errors(part: LabelSetJSON, pairs: Sequence[ConfusionJSON]) -> str:
    wrong = num_wrong(part)
    if not wrong:
        return ""
    listed = sum(pair["num_images"] for pair in pairs)
    return f" ({listed:,} of the {wrong:,} images that are classified wrongly)"


def _calibration_sentence(title: str, part: LabelSetJSON) -> str:
    calibration = part.get("calibration")
    if not calibration:
        return ""
    num_images = sum(each["num_images"] for each in calibration["bins"])
    excess = sum(each["num_images"] * (each["confidence"] - each["accuracy"]) for each in calibration["bins"])
    excess /= num_images
    if abs(excess) < WELL_CALIBRATED:
        return f"The mean confidence on {title} differs from the accuracy by less than {WELL_CALIBRATED:.0%}."
    direction = "above" if excess > 0 else "below"
    return f"The mean confidence on {title} is {abs(excess):.1%} {direction} the accuracy."


def _rejected(evaluation: EvaluationJSON) -> str:
    """How many images of other things the threshold rejects."""
    unknown = (evaluation.get("open_set") or {"unknown": []})["unknown"]
    for one in unknown:
        if (rejected := one["rejected_among_all"]) is not None:
            return f"It rejects {share(rejected)} of {one['num_images']:,} images of {escape(one['source'])}."
    return "How many images of other things it rejects was not measured."


def _multi_label_limits(facts: CardFacts, found: MultiLabelJSON) -> Iterator[str]:
    parts = precision_parts(found)
    if "id" not in parts:
        yield "Average precision on held-out images of the labels of the training was not measured."
    if "ood" not in parts:
        yield "Average precision on labels that the training did not see was not measured."
    if parts and (missing := len(facts.labels) - sum(part["num_labels"] for part in parts.values())) > 0:
        yield f"{missing:,} of {len(facts.labels):,} labels have no image in the evaluation."
    few = sum(number < FEW_IMAGES for part in parts.values() for number in part["images_per_label"].values())
    if few:
        yield (
            f"{counted(few, 'label was', 'labels were')} measured on fewer than {FEW_IMAGES} images "
            "each: their precisions are uncertain."
        )
    yield (
        "Images of other cameras, backgrounds, regions or seasons than those of the dataset, corrupted images, and "
        "differences between groups of people, were not measured."
    )
    yield "How many images of other things get a label was not measured."


def _limits(facts: CardFacts, parts: Sequence[LabelSetJSON]) -> Iterator[str]:
    evaluation = facts.evaluation
    if not evaluation.get("id"):
        yield "Accuracy on held-out images of the labels of the training was not measured."
    if not evaluation.get("ood"):
        yield "Accuracy on labels that the training did not see was not measured."
    if parts and (missing := len(facts.labels) - sum(len(part["per_label"]) for part in parts)) > 0:
        yield f"{missing:,} of {len(facts.labels):,} labels have no image in the evaluation."
    few = sum(1 for part in parts for num in (part.get("images_per_label") or {}).values() if num < FEW_IMAGES)
    if few:
        yield (
            f"{counted(few, 'label was', 'labels were')} measured on fewer than {FEW_IMAGES} images "
            "each: their accuracies are uncertain."
        )
    yield from limits_by_further(evaluation)
