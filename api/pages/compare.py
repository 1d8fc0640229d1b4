"""Two to six students side by side: figures, curves, the settings that differ, and labels that got better or worse."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.pages import charts, formats
from api.pages.charts import Curve
from api.pages.evaluations import PARTS
from api.pages.job_curves import MAX_EVENTS, measure_of
from api.pages.links import link
from api.pages.rendering import page
from api.pages.student import FIGURE_PARTS, figure, label_link, signed
from api.pages.student_figures import LABEL_PARTS, Contender, StudentFigures, figures_of
from store import resources
from store.jobs import events, jobs
from store.models import Checkpoint

router = APIRouter(include_in_schema=False)

_MAX = 6
_NUM_LABELS = 10
_INPUTS = (
    "dataset_id",
    "vocabulary_id",
    "attribute_set_id",
    "caption_set_id",
    "start_checkpoint_id",
    "teacher",
    "text",
)
Ids = Annotated[list[str], Query(alias="id", max_length=_MAX, description="Students, two to six.")]


@router.get("/compare")
def compare_page(request: Request, services: ServicesDep, ids: Ids = []) -> HTMLResponse:  # noqa: B006
    """The comparison. The first student is the one that labels of the others are compared with."""
    chosen = list(dict.fromkeys(ids))
    with services.db.read() as tx:
        rows = [resources.checkpoint_without_evaluation(tx, id) for id in chosen]
        if len(rows) < 2:
            return page(request, "compare.html.jinja", students=rows)
        names = [f"{number}. {row.student}" for number, row in enumerate(rows, 1)]
        figures = [figures_of(tx, row) for row in rows]
        values: dict[str, Any] = {
            "students": [
                (
                    Markup("{} {}").format(f"{number}.", link(row.id, row.student)),
                    *(figure(one.student, part) for part, _ in FIGURE_PARTS),
                    formats.time_tag(row.created_at),
                )
                for number, (row, one) in enumerate(zip(rows, figures, strict=True), 1)
            ],
            "charts_of_parts": _figure_charts(names, [one.student for one in figures]),
            "curves": _curves(tx, names, rows),
            "settings": _differing(names, [_settings(tx, row) for row in rows]),
            "names": names,
            "changes": [
                (name, *_changes(chosen[0], figures[0], other))
                for name, other in zip(names[1:], figures[1:], strict=True)
            ],
        }
    return page(request, "compare.html.jinja", **values)


def _figure_charts(names: Sequence[str], students: Sequence[Contender]) -> list[tuple[str, Markup]]:
    return [
        (
            title,
            charts.intervals(
                [(name, one.accuracy(part), one.interval(part)) for name, one in zip(names, students, strict=True)],
                title=f"Accuracy, {title.lower()}",
            ),
        )
        for part, title in FIGURE_PARTS
        if any(one.accuracy(part) is not None for one in students)
    ]


_OF_LABELS = tuple(PARTS[part] for part in LABEL_PARTS)


def _curves(tx: Session, names: Sequence[str], rows: Sequence[Checkpoint]) -> list[tuple[str, Markup]]:
    """The curves of the trainings over each other, a chart for each quantity that at least one of them has."""
    found: dict[str, list[Curve]] = {}
    for name, row in zip(names, rows, strict=True):
        data = [one for _, one in events.data_after(tx, row.job_id, "metrics", 0, limit=MAX_EVENTS)]
        for title, field in (("Loss", "loss"), ("Learning rate", "lr")):
            points = [(one["step"], one[field]) for one in data if field in one and "step" in one]
            found.setdefault(title, []).append(Curve(name, points))
        measure = measure_of(data)
        for part in LABEL_PARTS:
            accuracies = [(one["epoch"], (one.get("accuracy") or {}).get(part)) for one in data if "epoch" in one]
            points = [(epoch, value) for epoch, value in accuracies if isinstance(value, int | float)]
            found.setdefault(f"{measure}, {PARTS[part]}", []).append(Curve(name, points))
    drawn = [
        (
            title,
            charts.lines(
                curves,
                title=title,
                x_label="epoch" if title.endswith(_OF_LABELS) else "step",
                percent=title.endswith(_OF_LABELS),
            ),
        )
        for title, curves in found.items()
    ]
    return [(title, chart) for title, chart in drawn if chart]


def _settings(tx: Session, row: Checkpoint) -> Mapping[str, object]:
    """Name → value of all settings and inputs of the training of a student."""
    spec = jobs.get(tx, row.job_id).spec
    config = spec.get("config")
    prompt = spec.get("prompt")
    found: dict[str, object] = {name: spec.get(name) for name in (*_INPUTS, "recipe")}
    for start, value in (("", config), ("prompt", prompt)):
        found.update(_flat(start, value if isinstance(value, Mapping) else {}))
    return found


def _flat(start: str, values: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        path = f"{start}.{name}" if start else name
        found.update(_flat(path, value) if isinstance(value, Mapping) else {path: value})
    return found


def _differing(names: Sequence[str], settings: Sequence[Mapping[str, object]]) -> list[Sequence[object]]:
    """A row for each setting that is not the same for all."""
    paths = dict.fromkeys(path for one in settings for path in one)
    rows: list[Sequence[object]] = []
    for path in paths:
        values = [one.get(path) for one in settings]
        if any(value != values[0] for value in values):
            rows.append((Markup("<code>{}</code>").format(path), *(_shown(value) for value in values)))
    return rows


def _shown(value: object) -> Markup | str:
    if value is None:
        return formats.NONE
    if isinstance(value, str) and "_" in value and link(value).startswith("<a"):
        return link(value)
    return formats.isolated(", ".join(map(str, value)) if isinstance(value, list) else value)


def _changes(
    first_id: str, first: StudentFigures, other: StudentFigures
) -> tuple[list[Sequence[object]], list[Sequence[object]], int]:
    """The labels of which `other` is better than the first, those of which it is worse, and how many both measure."""
    before = {(row.part, row.label): row.accuracy for row in first.labels}
    changed = [
        (row.accuracy - before[row.part, row.label], row) for row in other.labels if (row.part, row.label) in before
    ]

    def rows(sign: int) -> list[Sequence[object]]:
        gained = sorted((one for one in changed if sign * one[0] > 0), key=lambda one: (-sign * one[0], one[1].label))
        return [
            (
                label_link(first_id, row.label),
                PARTS[row.part],
                formats.share(row.accuracy - change),
                formats.share(row.accuracy),
                signed(change),
            )
            for change, row in gained[:_NUM_LABELS]
        ]

    return rows(1), rows(-1), len(changed)
