"""What was measured beside accuracy, as Markdown for the model card: retrieval, unknown images, domains, corruptions.

The section of a card can be replaced later (`with_further`), when further sets were measured for an existing bundle.
"""

import re
from collections.abc import Iterator

from distill.bundle.card.facts import escape, share, table
from distill.bundle.card.metrics import PART_NAMES
from distill.bundle.card.weaknesses import limits_by_further
from distill.json_types import CorruptionErrorsJSON, DomainShiftJSON, EvaluationJSON, OpenSetJSON, RetrievalPartsJSON

HEADING = "## Robustness and retrieval"
OPEN_SET_PLOT, DOMAINS_PLOT, CORRUPTIONS_PLOT = "open_set.png", "domains.png", "corruptions.png"
NOT_MEASURED = "Nothing beside accuracy was measured."


def further_plots(evaluation: EvaluationJSON) -> list[str]:
    """The names of the plots that the evaluation has figures for."""
    names = {"open_set": OPEN_SET_PLOT, "domains": DOMAINS_PLOT, "corruptions": CORRUPTIONS_PLOT}
    return [name for field, name in names.items() if evaluation.get(field)]


def further_markdown(evaluation: EvaluationJSON, *, has_plots: bool = True) -> str:
    """Tables and sentences in Markdown. `has_plots`: whether the plots lie beside the card."""
    blocks = [
        *_recall_blocks(evaluation.get("recall")),
        *_open_set_blocks(evaluation.get("open_set")),
        *_domain_blocks(evaluation),
        *_corruption_blocks(evaluation),
    ]
    if has_plots:
        titles = {
            OPEN_SET_PLOT: "Known images accepted over unknown images accepted",
            DOMAINS_PLOT: "Accuracy in each domain",
            CORRUPTIONS_PLOT: "Error under each corruption",
        }
        blocks += [f"![{titles[name]}]({name})" for name in further_plots(evaluation)]
    return "\n\n".join(blocks) or NOT_MEASURED


def with_further(card: str, before: EvaluationJSON, evaluation: EvaluationJSON) -> str:
    """The card with the section and the limits of this evaluation; `before`: the evaluation that it was written for.

    A card of an earlier release gets a section before its weaknesses.
    """
    for old, new in zip(limits_by_further(before), limits_by_further(evaluation), strict=True):
        card = card.replace(f"\n- {old}\n", f"\n- {new}\n")
    section = f"{HEADING}\n\n{further_markdown(evaluation)}\n\n"
    replaced, number = re.subn(
        rf"{HEADING}\n.*?(?=^## )", lambda _: section, card, count=1, flags=re.DOTALL | re.MULTILINE
    )
    return replaced if number else card.replace("## Weaknesses\n", f"{section}## Weaknesses\n", 1)


def _recall_blocks(recall: RetrievalPartsJSON | None) -> Iterator[str]:
    if not recall:
        return
    found = [
        (title, direction, one)
        for part, title in PART_NAMES.items()
        for direction in ("image to image", "text to image")
        if (of_part := recall.get(part))
        and (one := of_part["image_to_image" if direction == "image to image" else "text_to_image"])
    ]
    if not found:
        return
    yield "Recall of the embeddings: the share of queries with a right image among the k nearest."
    ranks = found[0][2]["ranks"]
    rows = [["", *(f"k = {rank}" for rank in ranks), f"chance at {ranks[0]}", "queries", "images"]]
    rows += [
        [
            f"{direction}, {title}",
            *map(share, one["recall"]),
            share(one["chance"][0]),
            f"{one['num_queries']:,}",
            f"{one['num_images']:,}",
        ]
        for title, direction, one in found
    ]
    yield table(rows)


def _open_set_blocks(open_set: OpenSetJSON | None) -> Iterator[str]:
    if not open_set:
        return
    outliers = f", {open_set['num_outliers']:,} outlier labels" if open_set["num_outliers"] else ""
    yield (
        f"Unknown images, among the {open_set['num_labels']:,} seen labels alone ({open_set['num_images']:,} held-out "
        f"images{outliers}). Near unknowns are images of the\nunseen labels, far unknowns those of another dataset. "
        f"The threshold rejects {share(open_set['target_rate'])} of the known images; it was chosen on other held-out "
        "images than\nthose it is measured on."
    )
    rows = [["unknown", "images", "score", "AUROC", "FPR at 95% recall", "OSCR", "known, right", "rejected", "H-score"]]
    for unknown in open_set["unknown"]:
        for one in unknown["scores"]:
            cells = (one["auroc"], one["fpr95"], one["oscr"], one["known_accuracy"], one["rejected"], one["h_score"])
            name = f"{unknown['kind']}: {escape(unknown['source'])}"
            rows.append([name, f"{unknown['num_images']:,}", one["score"], *map(share, cells)])
    yield table(rows)


def _domain_blocks(evaluation: EvaluationJSON) -> Iterator[str]:
    for part, title in PART_NAMES.items():
        domains = evaluation.get("domains")
        shift: DomainShiftJSON | None = domains[part] if domains else None
        if not shift:
            continue
        yield (
            f"Other domains, {title}: mean {share(shift['mean'])}, worst {share(shift['worst_accuracy'])} "
            f"({escape(shift['worst'])}), {share(shift['mean_drop'])} below the domain\nof the training on average. "
            "Both are classified among the labels that both have."
        )
        rows = [
            ["domain", "accuracy", "95% interval over images", "domain of the training", "drop", "labels", "images"]
        ]
        for one in shift["domains"]:
            low, high = one["intervals"]["images"]
            rows.append(
                [
                    escape(one["name"]),
                    share(one["accuracy"]),
                    f"{share(low)} to {share(high)}",
                    share(one["training_domain"]),
                    share(one["drop"]),
                    f"{one['num_labels']:,}",
                    f"{one['num_images']:,}",
                ]
            )
        yield table(rows)


def _corruption_blocks(evaluation: EvaluationJSON) -> Iterator[str]:
    corruptions = evaluation.get("corruptions")
    if not corruptions:
        return
    baseline = corruptions["baseline"]
    for part, title in PART_NAMES.items():
        errors: CorruptionErrorsJSON | None = corruptions.get(part)
        if not errors:
            continue
        against = ""
        has_ce = any(kind["ce"] is not None for kind in errors["kinds"])
        if baseline and errors["mce"] is not None and errors["relative_mce"] is not None:
            against = (
                f" The closed-set baseline of the same run\nhas {share(baseline['mean_error'])}: "
                f"mCE {errors['mce']:.2f}, relative mCE {errors['relative_mce']:.2f} (below 1: more robust than the "
                "baseline)."
            )
        elif baseline and has_ce:
            against = (
                f" The closed-set baseline of the same run\nhas {share(baseline['mean_error'])}. mCE is not defined, "
                f"because the baseline loses nothing under {', '.join(kinds_without_ce(errors))}."
            )
        yield (
            f"Corruptions of ImageNet-C, {title} ({errors['num_images']:,} images): the mean error is "
            f"{share(errors['mean_error'])}, and {share(errors['clean_error'])} without corruption.{against}"
        )
        rows = [["corruption", *(f"strength {one}" for one in corruptions["strengths"]), *(["CE"] if has_ce else [])]]
        for kind in errors["kinds"]:
            ce = [f"{kind['ce']:.2f}" if kind["ce"] is not None else ""] if has_ce else []
            rows.append([kind["kind"].replace("_", " "), *map(share, kind["errors"]), *ce])
        yield table(rows)


def kinds_without_ce(errors: CorruptionErrorsJSON) -> list[str]:
    """The kinds under which the baseline loses nothing, so that an error relative to it is not defined."""
    return [
        kind["kind"].replace("_", " ") for kind in errors["kinds"] if kind["ce"] is None or kind["relative_ce"] is None
    ]
