"""What was measured of a student beside its accuracy: unknown images, other domains, corruptions and retrieval.

The bundle has what every student has. The rest comes from the newest evaluations of the student on its own dataset.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from sqlalchemy.orm import Session

from api.pages import charts, formats
from api.pages.charts import Curve
from api.pages.evaluations import PARTS
from api.pages.links import link
from distill.data.image_files.parquet_rows import SharedLRU
from store.jobs import evaluations
from store.models import Checkpoint

FIELDS = ("open_set", "domains", "corruptions", "recall")
_MAX_JOBS = 20
_NUM_KEPT = 64
SCORES: Mapping[str, str] = {
    "cosine": "largest similarity",
    "energy": "energy",
    "outliers": "similarity against look-alikes",
}


@dataclass(frozen=True, kw_only=True)
class FurtherSection:
    """A heading with a note and a table, and charts. `source`: the job that measured it; empty: the training."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    charts: Sequence[tuple[str, Markup]] = ()
    source: Markup | str = ""


def sections(tx: Session, row: Checkpoint) -> Sequence[FurtherSection]:
    """The sections of what was measured. Evaluations never change: those that were read last are kept."""
    ids = tuple(evaluations.of_checkpoint(tx, row.id, dataset_id=row.dataset_id, limit=_MAX_JOBS))

    def read() -> Sequence[FurtherSection]:
        found: dict[str, tuple[Any, str]] = {
            field: (row.evaluation[field], "") for field in FIELDS if row.evaluation.get(field)
        }
        for id in reversed(ids):  # the newest last: it replaces the others
            of_job = evaluations.fields(tx, id, FIELDS)
            found |= {field: (value, id) for field, value in of_job.items() if value}
        made = []
        for field in FIELDS:
            if field in found:
                value, id = found[field]
                made += [_with_source(one, id) for one in _SECTIONS[field](value)]
        return made

    return _KEPT.get((row.id, row.digest, row.created_at, ids), read)


_KEPT: SharedLRU[Sequence[FurtherSection]] = SharedLRU(_NUM_KEPT, lambda _: 1)


def _with_source(section: FurtherSection, job_id: str) -> FurtherSection:
    return FurtherSection(**{**vars(section), "source": link(job_id)}) if job_id else section


def _open_set(found: Mapping[str, Any]) -> Iterator[FurtherSection]:
    outliers = f" and {found['num_outliers']:,} look-alikes" if found["num_outliers"] else ""
    rows, curves = [], []
    for unknown in found["unknown"]:
        name = f"{unknown['kind']}: {unknown['source']}"
        for one in unknown["scores"]:
            figures = (one["auroc"], one["fpr95"], one["oscr"], one["known_accuracy"], one["rejected"], one["h_score"])
            cells = [formats.isolated(name), formats.number(unknown["num_images"]), SCORES[one["score"]]]
            rows.append([*cells, *map(formats.share, figures)])
            steps = max(1, len(one["roc"]) - 1)
            points = [(100 * at / steps, value) for at, value in enumerate(one["roc"])]
            curves.append(Curve(f"{unknown['kind']}, {SCORES[one['score']]}", points))
    chart = charts.lines(curves, title="Known images accepted", x_label="unknown images accepted, %", percent=True)
    yield FurtherSection(
        title="None of these labels",
        note=(
            f"Among {found['num_labels']:,} seen labels{outliers}, on {found['num_images']:,} held-out images. Near "
            f"unknowns are images of unseen labels, far ones of another dataset. The threshold rejects "
            f"{formats.share(found['target_rate'])} of the known images, and was set on others of them."
        ),
        head=("Unknown", "Images", "Score", "AUROC", "FPR at 95% TPR", "OSCR", "Known, right", "Rejected", "H-score"),
        rows=rows,
        charts=[("Known images accepted, over unknown images accepted", chart)] if chart else [],
    )


def _domains(found: Mapping[str, Any]) -> Iterator[FurtherSection]:
    for part, title in PARTS.items():
        shift = found.get(part)
        if not shift:
            continue
        rows = []
        for one in shift["domains"]:
            interval = " to ".join(map(formats.share, one["intervals"]["images"]))
            figures = (one["accuracy"], one["training_domain"], one["drop"])
            accuracy, training, drop = map(formats.share, figures)
            counts = formats.number(one["num_labels"]), formats.number(one["num_images"])
            rows.append([formats.isolated(one["name"]), accuracy, interval, training, drop, *counts])
        yield FurtherSection(
            title=f"Other domains, {title}",
            note=(
                f"Mean {formats.share(shift['mean'])}; worst {formats.share(shift['worst_accuracy'])} "
                f"({shift['worst']}); {formats.share(shift['mean_drop'])} below the domain of the training on average. "
                "Both are classified among the labels that both have."
            ),
            head=("Domain", "Accuracy", "95% interval", "Domain of the training", "Drop", "Labels", "Images"),
            rows=rows,
        )


def _corruptions(found: Mapping[str, Any]) -> Iterator[FurtherSection]:
    for part, title in PARTS.items():
        errors = found.get(part)
        if not errors:
            continue
        mce = ""
        if errors["mce"] is not None:
            mce = (
                f" Against the closed-set baseline of the same run: mCE {errors['mce']:.2f}, relative mCE "
                f"{errors['relative_mce']:.2f}; below 1 is more robust than the baseline."
            )
        elif any(one["ce"] is not None for one in errors["kinds"]):
            lost_nothing = (one for one in errors["kinds"] if one["ce"] is None or one["relative_ce"] is None)
            mce = (
                f" The closed-set baseline of the same run: {formats.share(found['baseline']['mean_error'])}. mCE is "
                "not defined, because the baseline loses nothing under "
                f"{', '.join(one['kind'].replace('_', ' ') for one in lost_nothing)}."
            )
        rows = [
            [one["kind"].replace("_", " "), *map(formats.share, one["errors"]), formats.share(one["error"])]
            for one in errors["kinds"]
        ]
        yield FurtherSection(
            title=f"Corruptions, {title}",
            note=(
                f"Errors on {errors['num_images']:,} images with the 15 corruptions of ImageNet-C at "
                f"{len(found['strengths'])} strengths: {formats.share(errors['mean_error'])} on average, and "
                f"{formats.share(errors['clean_error'])} without corruption.{mce}"
            ),
            head=("Corruption", *(f"Strength {one}" for one in found["strengths"]), "Mean"),
            rows=rows,
        )


def _recall(found: Mapping[str, Any]) -> Iterator[FurtherSection]:
    rows, ranks = [], []
    for part, title in PARTS.items():
        for field, direction in (("image_to_image", "image to image"), ("text_to_image", "text to image")):
            one = (found.get(part) or {}).get(field)
            if one:
                ranks = one["ranks"]
                counts = formats.number(one["num_queries"]), formats.number(one["num_images"])
                shares = [*map(formats.share, one["recall"]), formats.share(one["chance"][0])]
                rows.append([f"{direction}, {title}", *shares, *counts])
    if rows:
        yield FurtherSection(
            title="Retrieval",
            note="The share of queries with a right image among the k nearest, by the embeddings of the student.",
            head=("Query", *(f"k = {rank}" for rank in ranks), f"Chance at {ranks[0]}", "Queries", "Images"),
            rows=rows,
        )


_SECTIONS = {"open_set": _open_set, "domains": _domains, "corruptions": _corruptions, "recall": _recall}
