"""The pages of a student: its figures beside teacher and baselines, its labels, its confusions, and how to use it."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import MAX_INT32
from api.pages import charts, formats
from api.pages.evaluations import PARTS, part_of
from api.pages.links import link, with_query
from api.pages.rendering import page
from api.pages.student_figures import LABEL_PARTS, Contender, LabelRow, StudentFigures, figures_of
from api.pages.student_further import SCORES, sections
from api.readers.student_models import TEXT_GRAPH
from api.routes.checkpoints import samples_of
from limbeck.shared.bundle.open_set import OUTLIERS_FILE
from limbeck.shared.labels import quoted
from limbeck.shared.text import counted
from store import resources
from store.jobs import jobs
from store.models import Checkpoint, CheckpointFile

router = APIRouter(include_in_schema=False)

_ROWS = 100
_WORST = 8
_BARS = 20
_MATRIX = 20
FIGURE_PARTS = (("id", "Seen labels"), ("ood", "Unseen labels"), ("joint", "Harmonic mean"))
_ORDERS = {
    "worst": "Worst first",
    "best": "Best first",
    "gain": "Most gain of attributes first",
    "loss": "Most loss by attributes first",
    "behind": "Furthest behind the teacher first",
    "name": "By name",
}
_BUNDLE_PARTS = {
    "": "Card, evaluation, log and charts",
    "image": "Image encoder for timm and transformers",
    "onnx": "ONNX Runtime, without torch",
    "pairing": "Both encoders for open_clip",
    "targets": "Texts of the labels",
}
Part = Annotated[Literal["all", "id", "ood"], Query(description="Seen labels (id), unseen labels (ood), or all.")]
Order = Annotated[Literal["worst", "best", "gain", "loss", "behind", "name"], Query(description="Order of the labels.")]
Search = Annotated[str, Query(max_length=200, description="Text in the name of the label.")]
Start = Annotated[int, Query(ge=0, le=MAX_INT32, description="Number of labels to skip.")]


@router.get("/students/{id}")
def student_page(request: Request, services: ServicesDep, id: str) -> HTMLResponse:
    """Figures, the worst labels, frequent confusions, downloads and programs."""
    with services.db.read() as tx:
        row = resources.checkpoint_without_evaluation(tx, id)
        figures = figures_of(tx, row)
        files = resources.checkpoint_files(tx, id)
        paths = {file.path for file in files}
        values: dict[str, Any] = {
            "student": row,
            "about": _about(tx, row),
            "figures": _figure_rows(figures),
            "charts_of_parts": _figure_charts(figures),
            "missing": _missing(tx, row, figures),
            "further": sections(tx, row),
            "worst": [
                (PARTS[part], [_label_cells(id, one) for one in _of_part(figures.labels, part)[:_WORST]])
                for part in LABEL_PARTS
                if _of_part(figures.labels, part)
            ],
            "measure": _measure(figures),
            "is_multi_label": figures.student.is_multi_label,
            "gain": _gain(figures),
            "confusions": [(PARTS[part], _pair_rows(id, _confusions(figures, part)[:_WORST])) for part in LABEL_PARTS],
            "can_classify": "onnx/image.onnx" in paths,
            "has_words": TEXT_GRAPH in paths,
            "scores": _scores(figures, paths),
            "downloads": _downloads(id, files),
            "size_of_files": sum(file.size for file in files),
            "snippets": _snippets(str(request.base_url).rstrip("/"), id, paths),
        }
    return page(request, "student.html.jinja", **values)


@router.get("/students/{id}/labels")
def labels_page(
    request: Request,
    services: ServicesDep,
    id: str,
    part: Part = "all",
    order: Order = "worst",
    q: Search = "",
    start: Start = 0,
) -> HTMLResponse:
    """The labels with their accuracies."""
    with services.db.read() as tx:
        row = resources.checkpoint_without_evaluation(tx, id)
        figures = figures_of(tx, row)
        rows = _ordered(_matching(figures.labels, part, q), order)
    shown = rows[start : start + _ROWS]
    path, query = f"/students/{id}/labels", {"part": part, "order": order, "q": q or None}
    return page(
        request,
        "student_labels.html.jinja",
        student=row,
        part=part,
        order=order,
        orders=_ORDERS,
        q=q,
        rows=[_label_cells(id, one) for one in shown],
        gain=_gain(figures),
        measure=_measure(figures),
        first=start + 1,
        last=start + len(shown),
        total=len(rows),
        histogram=_histogram(rows, _measure(figures).lower()),
        next_url=with_query(path, **query, start=start + _ROWS) if len(rows) > start + _ROWS else "",
        first_url=with_query(path, **query) if start else "",
    )


@router.get("/students/{id}/confusions")
def confusions_page(
    request: Request, services: ServicesDep, id: str, part: Literal["id", "ood"] = "id", q: Search = ""
) -> HTMLResponse:
    """Pairs of labels that are confused, most frequent first, and a matrix of the labels of the first ones."""
    with services.db.read() as tx:
        row = resources.checkpoint_without_evaluation(tx, id)
        figures = figures_of(tx, row)
    pairs = _confusions(figures, part)
    return page(
        request,
        "student_confusions.html.jinja",
        student=row,
        part=part,
        parts=PARTS,
        q=q,
        rows=_confusion_rows(id, figures, part, q),
        matrix="" if q else _matrix(pairs),
        num_images=(part_of(figures.student.figures, part) or {}).get("num_images", 0),
    )


@router.get("/students/{id}/label")
def label_page(
    request: Request, services: ServicesDep, id: str, name: Annotated[str, Query(max_length=1000)]
) -> HTMLResponse:
    """The figures of one label, and evaluated images with what they were taken for."""
    with services.db.read() as tx:
        row = resources.checkpoint_without_evaluation(tx, id)
        figures = figures_of(tx, row)
    rows = [one for one in figures.labels if one.label == name]
    if not rows:
        raise ProblemError(404, "label_not_evaluated", f"no image of the label {quoted(name)} was evaluated")
    samples = samples_of(services.artefacts, row, name) if row.samples_key else []
    part = rows[0].part
    return page(
        request,
        "student_label.html.jinja",
        student=row,
        label=name,
        rows=[_label_cells(id, one) for one in rows],
        gain=_gain(figures),
        measure=_measure(figures),
        samples=samples,
        confusions=_confusion_rows(id, figures, part, name, is_exact=True),
    )


def _scores(figures: StudentFigures, paths: Collection[str]) -> dict[str, str]:
    """The scores by which the student can say "none of these", by their names in the API, with their titles."""
    evaluation = figures.student.figures
    if figures.student.is_multi_label:  # each label is judged by itself
        return {}
    has_threshold = {"cosine"} if evaluation.get("none_of_these") else set()
    has_threshold |= (evaluation.get("none_of_these_by_score") or {}).keys()
    if OUTLIERS_FILE not in paths:
        has_threshold.discard("outliers")
    return {score: title for score, title in SCORES.items() if score in has_threshold}


def _about(tx: Session, row: Checkpoint) -> list[tuple[str, object]]:
    teacher = resources.teacher(tx, row.teacher_id)
    dataset = resources.dataset(tx, row.dataset_id)
    found: list[tuple[str, object]] = [
        ("Images", link(row.dataset_id, dataset.name)),
        ("Vocabulary", link(row.vocabulary_id)),
        ("Teacher", formats.isolated(teacher.ref)),
        ("Texts", row.text),
        ("Training", link(row.job_id)),
        ("Created", formats.time_tag(row.created_at)),
    ]
    if row.attribute_set_id:
        found.insert(2, ("Attributes", link(row.attribute_set_id)))
    return found


def _figure_rows(figures: StudentFigures) -> list[Sequence[object]]:
    rows: list[Sequence[object]] = [
        (link(one.job_id, one.name) if one.job_id else one.name, *(figure(one, part) for part, _ in FIGURE_PARTS))
        for one in figures.shown
    ]
    evaluation = figures.student.figures
    if last := evaluation.get("last_epochs"):
        means = map(formats.share, (last["id_accuracy"], last["ood_accuracy"], last["harmonic_mean"]))
        rows.insert(1, (f"Mean over the last {counted(len(last['epochs']), 'epoch')}", *means))
    if int8 := evaluation.get("onnx"):
        shown = (formats.share((int8.get(part) or {}).get("int8")) for part, _ in FIGURE_PARTS)
        rows.insert(1, ("Its int8 encoder (onnx/image-int8.onnx)", *shown))
    return rows


def figure(one: Contender, part: str) -> Markup:
    """An accuracy with its interval."""
    value, interval = one.accuracy(part), one.interval(part)
    if value is None:
        return Markup('<span class="soft">not measured</span>')
    shown = Markup("<strong>{}</strong>").format(formats.share(value))
    if interval is None:
        return shown
    return shown + Markup(' <span class="soft">{:.1f} to {:.1f}</span>').format(100 * interval[0], 100 * interval[1])


def _figure_charts(figures: StudentFigures) -> list[tuple[str, Markup]]:
    return [
        (
            title,
            charts.intervals(
                [(one.name, one.accuracy(part), one.interval(part)) for one in figures.shown],
                title=f"{_measure(figures)}, {title.lower()}",
            ),
        )
        for part, title in FIGURE_PARTS
        if figures.student.accuracy(part) is not None
    ]


def _measure(figures: StudentFigures) -> str:
    return "Average precision" if figures.student.is_multi_label else "Accuracy"


def _missing(tx: Session, row: Checkpoint, figures: StudentFigures) -> list[Mapping[str, Any]]:
    """Jobs that would complete the figures, with the request that makes each."""
    found: list[Mapping[str, Any]] = []
    at = {"dataset_id": row.dataset_id}
    if figures.teacher is None:
        texts: Mapping[str, Any] = {
            "text": row.text,
            **({"attribute_set_id": row.attribute_set_id} if row.text != "names" else {}),
        }
        body: Mapping[str, Any] = {"kind": "evaluate", "teacher": figures.teacher_ref, **at, **texts}
        found.append({"text": "The teacher was not evaluated on these images.", "button": "Evaluate it", "body": body})
    if row.text != "names" and figures.student_by_names is None:
        text = "This student was not evaluated by the names of the labels alone, without attributes."
        body = {"kind": "evaluate", "checkpoint_id": row.id, "text": "names", **at}
        found.append({"text": text, "button": "Evaluate it by names", "body": body})
    if figures.closed_set is None and not figures.student.is_multi_label:
        spec = jobs.distill_spec(tx, row.job_id)
        # All that the baseline shares with the student: a recipe may have other values today.
        same = ("student", "schedule", "optimizer", "weight_average", "system")
        config = {
            **{name: getattr(spec.config, name).model_dump(mode="json") for name in same},
            "augmentation": spec.config.data.augmentation.model_dump(mode="json"),
            "view": spec.config.data.view,
            "protocol": "closed_set",
        }
        body = {"kind": "distill", "teacher": figures.teacher_ref, "recipe": spec.recipe, "config": config, **at}
        text = "There is no closed-set baseline: the same architecture as a plain classifier of the seen labels."
        confirm = "Start this training? It takes about as long as that of the student."
        found.append({"text": text, "button": "Train it", "body": body, "confirm": confirm})
    return found


def _gain(figures: StudentFigures) -> Mapping[str, Any] | None:
    """Whose gain of attributes over names the rows show, and how many labels gain and lose."""
    gained = [row.gain for row in figures.labels if row.gain is not None]
    if not gained:
        return None
    return {
        "whose": "this student" if figures.student_by_names else "the teacher",
        "better": sum(value > 0 for value in gained),
        "worse": sum(value < 0 for value in gained),
        "same": sum(value == 0 for value in gained),
    }


def _of_part(rows: Sequence[LabelRow], part: str) -> list[LabelRow]:
    return [row for row in rows if row.part == part]


def _matching(rows: Sequence[LabelRow], part: str, q: str) -> list[LabelRow]:
    wanted = q.casefold().strip()
    return [row for row in rows if part in ("all", row.part) and wanted in row.label.casefold()]


def _ordered(rows: list[LabelRow], order: str) -> list[LabelRow]:
    """Labels that lack the figure come last."""
    if order == "best":
        return rows[::-1]
    if order == "name":
        return sorted(rows, key=lambda row: row.label.casefold())
    if order == "gain":
        return sorted(rows, key=lambda row: -row.gain if row.gain is not None else 2)
    if order == "loss":
        return sorted(rows, key=lambda row: row.gain if row.gain is not None else 2)
    if order == "behind":
        return sorted(rows, key=lambda row: row.accuracy - row.teacher if row.teacher is not None else 2)
    return rows


def label_link(id: str, label: str) -> Markup:
    """A link to the page of a label of a student."""
    address = with_query(f"/students/{quote(id, safe='')}/label", name=label)
    return Markup('<a href="{}"><bdi>{}</bdi></a>').format(address, label)


def _label_cells(id: str, row: LabelRow) -> Sequence[object]:
    return (
        label_link(id, row.label),
        PARTS[row.part],
        charts.bar(row.accuracy, title=f"{row.accuracy:.0%}", width=80),
        formats.share(row.accuracy),
        formats.share(row.teacher),
        signed(row.gain),
        formats.number(row.num_images),
    )


def signed(value: float | None) -> Markup:
    """A difference of shares in percentage points."""
    if value is None:
        return Markup(formats.NONE)
    kind = "good" if value > 0 else "bad" if value < 0 else "soft"
    return Markup('<span class="{}">{}</span>').format(kind, f"{100 * value:+.1f}" if value else "0")


def _histogram(rows: Sequence[LabelRow], measure: str) -> Markup:
    """How many labels have which accuracy (or another `measure`), in 20 steps."""
    counts = [0] * _BARS
    for row in rows:
        counts[min(int(row.accuracy * _BARS), _BARS - 1)] += 1
    return charts.histogram(counts, title=f"Number of labels by {measure}", x_label=measure, y_label="labels")


def _confusions(figures: StudentFigures, part: str) -> Sequence[Mapping[str, Any]]:
    return (part_of(figures.student.figures, part) or {}).get("confusions") or ()


def _confusion_rows(
    id: str, figures: StudentFigures, part: str, q: str, *, is_exact: bool = False
) -> list[Sequence[object]]:
    """The pairs with a label whose name contains `q`, or is `q`."""
    wanted = q.casefold().strip()
    pairs = _confusions(figures, part)
    return _pair_rows(
        id,
        [pair for pair in pairs if (q in (pair["label"], pair["taken_for"]) if is_exact else _has(pair, wanted))],
    )


def _pair_rows(id: str, pairs: Sequence[Mapping[str, Any]]) -> list[Sequence[object]]:
    return [
        (
            label_link(id, pair["label"]),
            formats.isolated(pair["taken_for"]),
            formats.number(pair["num_images"]),
            charts.bar(pair["share"], title=f"{pair['share']:.0%}", width=80),
            formats.share(pair["share"]),
        )
        for pair in pairs
    ]


def _has(pair: Mapping[str, Any], wanted: str) -> bool:
    return wanted in pair["label"].casefold() or wanted in pair["taken_for"].casefold()


def _matrix(pairs: Sequence[Mapping[str, Any]]) -> Markup:
    """The most frequent pairs as a matrix of the labels that are in them, however many labels there are."""
    rows: list[str] = []
    columns: list[str] = []
    cells: dict[tuple[str, str], float] = {}
    for pair in pairs:
        label, other = pair["label"], pair["taken_for"]
        is_new = len(rows) + (label not in rows) > _MATRIX or len(columns) + (other not in columns) > _MATRIX
        if is_new:
            continue
        rows += [label] if label not in rows else []
        columns += [other] if other not in columns else []
        cells[label, other] = pair["share"]
    return charts.matrix(rows, columns, cells, title="Share of the images of a label (row) taken for another (column)")


def _downloads(id: str, files: Sequence[CheckpointFile]) -> list[Sequence[object]]:
    return [
        (
            Markup('<a href="{}"><code>{}</code></a>').format(
                f"/v1/checkpoints/{quote(id, safe='')}/files/{quote(file.path)}", file.path
            ),
            _BUNDLE_PARTS.get(file.path.rpartition("/")[0].partition("/")[0], ""),
            formats.size(file.size),
        )
        for file in files
    ]


def _snippets(base_url: str, id: str, paths: set[str]) -> list[tuple[str, str, str]]:
    """Name, id of the element, and code that loads this student."""
    url = shlex.quote(base_url)
    found = [
        (
            "Download the bundle and classify a picture, without torch",
            "download",
            f"limbeck download {id} --url {url} --out student\nlimbeck classify student picture.jpg",
        ),
        (
            "timm",
            "timm",
            f'import os\n\nos.environ["HF_ENDPOINT"] = "{base_url}"  # before the import\n'
            f'import timm\n\nmodel = timm.create_model("hf-hub:limbeck/{id}", pretrained=True).eval()',
        ),
    ]
    if any(path.startswith("pairing/") for path in paths):
        found.append(
            (
                "open_clip, with any words",
                "open_clip",
                f'import os\n\nos.environ["HF_ENDPOINT"] = "{base_url}"  # before the import\n'
                "import open_clip\n\n"
                f'name = "hf-hub:limbeck/{id}-pairing"\n'
                "model, _, preprocess = open_clip.create_model_and_transforms(name)\n"
                "tokenizer = open_clip.get_tokenizer(name)",
            )
        )
    return found
