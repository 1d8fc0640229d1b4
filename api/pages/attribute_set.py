"""The pages of an attribute set: labels with their lines, confusable pairs, changes, and where a line comes from."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.schemas import MAX_INT32
from api.pages import formats
from api.pages.links import link, with_query
from api.pages.rendering import fragment, page
from api.pages.set_labels import MAX_LABELS, ShownLabel, fit
from api.readers.index_rows import IndexRows
from api.routes.attributes import LabelLines, LineOut, labels_at, read_labels
from api.routes.comparison import LabelDifferenceOut, label_difference
from api.routes.llm_responses import LLMResponseOut
from api.routes.reports import LabelViolationOut, read_violations
from attributes.editing import FIELDS_OF_KIND, MAX_TEXT_CHARS
from attributes.gates.types import GATE_TITLES, Gate
from attributes.types import line_from_json
from limbeck.shared.format_names import FileFormat
from limbeck.shared.labels import normalize
from store import resources, vocabularies
from store.artefacts import Artefacts
from store.enrich import results
from store.errors import NotFound
from store.models import AttributeSet, Checkpoint, Dataset, SetReport, Teacher
from store.sets import attribute_sets, comparison, drafts, reports
from store.sets.search import LabelFilter, Where

router = APIRouter(include_in_schema=False)

_RELATED = 10
_CHOICES = 100
_CHANGES = 20
_PAIRED_LINES = 8
_CHANGED_LINES = 40
_PAIRED_CHARS = 300
_CHANGED_CHARS = 1_000
_ANSWER_CHARS = 20_000
ONLY: Mapping[str, str] = {
    "": "all labels",
    "unreviewed": "never reviewed",
    "changed": "changed in the draft",
    "undescribed": "without lines",
    "human": "with a line that a person wrote",
    "locked": "with a locked line",
}
Only = Literal["", "unreviewed", "changed", "undescribed", "human", "locked"]
Position = Annotated[int, Query(ge=0, le=MAX_INT32, description="Position of the first label shown.")]
Line = Annotated[int, Query(ge=0, le=MAX_INT32, description="Number of the first line shown of the first label.")]
Words = Annotated[str, Query(max_length=200, description="Show labels that contain this text.")]
Ref = Annotated[str, Query(max_length=1000, description="Reference of a teacher.")]


@router.get("/attributes/{id}")
def attribute_set_page(
    request: Request,
    services: ServicesDep,
    id: str,
    start: Position = 0,
    line: Line = 0,
    q: Words = "",
    within: Where = "all",
    gate: Gate | Literal[""] = "",
    only: Only = "",
    flag: Annotated[str, Query(max_length=500)] = "",
    teacher: Ref = "",
) -> HTMLResponse:
    """Labels with their lines, in the draft if there is one; `static/attribute_set.js` edits them."""
    with services.db.read() as tx:
        row = attribute_sets.get(tx, id)
        vocabulary = vocabularies.get(tx, row.vocabulary_id)
        report = reports.get(tx, id)
        label_filter = _label_filter(q, within, gate if report else "", only, flag)
        found, more = read_labels(tx, row, label_filter, start=start, limit=MAX_LABELS, draft=True)
        teachers = sorted(set(tx.scalars(select(Teacher.ref).order_by(Teacher.id.desc()).limit(_CHOICES))))
        values: dict[str, Any] = {
            "set": row,
            "vocabulary": vocabulary,
            "about": _about(tx, row, vocabulary.name),
            "draft": drafts.get(tx, id),
            "teachers": teachers,
            "teacher": _counting_teacher(tx, teacher, report, teachers),
        }
    violations = _violations(services.artefacts, report, gate, found) if report and gate else {}
    labels = fit(found, first_line=line, violations=violations)
    next_start = _next_start(found, labels, more)
    query = {
        "q": q or None,
        "within": None if within == "all" else within,
        "gate": gate or None,
        "only": only or None,
        "flag": flag or None,
        "teacher": teacher or None,
    }
    path = f"/attributes/{quote(id, safe='')}"
    return page(
        request,
        "attribute_set.html.jinja",
        labels=labels,
        gates=_gate_rows(path, report, gate),
        report=report,
        needs_report=bool(gate) and report is None,
        filters={"q": q, "within": within, "gate": gate, "only": only, "flag": flag, "start": start},
        is_filtered=bool(label_filter) or bool(gate),
        choices=ONLY,
        gate_titles=GATE_TITLES,
        fields_of_kind=FIELDS_OF_KIND,
        max_chars=MAX_TEXT_CHARS,
        next_url=with_query(path, **query, start=next_start) + "#labels" if next_start is not None else "",
        previous_url=with_query(path, **query, start=max(0, start - MAX_LABELS) or None) + "#labels"
        if start and not label_filter
        else "",
        first_url=with_query(path, **query) + "#labels" if start or line else "",
        base=path,
        exports=get_args(FileFormat),
        **values,
    )


@router.get("/attributes/{id}/label")
def label_fragment(services: ServicesDep, id: str, position: Position, line: Line = 0) -> HTMLResponse:
    """One label as the page shows it, with the version of the draft: what a script exchanges after a change."""
    with services.db.read() as tx:
        row = attribute_sets.get(tx, id)
        found, _ = read_labels(tx, row, LabelFilter(), start=position, limit=1, draft=True)
        draft = drafts.get(tx, id)
    if not found:
        raise NotFound("label", str(position))
    (shown,) = fit(found, first_line=line)
    return fragment("attribute_label.html.jinja", one=shown, base=f"/attributes/{quote(id, safe='')}", draft=draft)


@router.get("/attributes/{id}/pairs")
def pairs_page(request: Request, services: ServicesDep, id: str, dataset: str = "", teacher: Ref = "") -> HTMLResponse:
    """The most confusable pairs of labels by a teacher's texts, side by side with lines and sample images."""
    rows: IndexRows = request.app.state.index_rows
    with services.db.read() as tx:
        row = attribute_sets.get(tx, id)
        report = _pair_report(tx, id, teacher)
        pairs = _pairs(report) if report else []
        positions = sorted({position for pair in pairs for position in pair["positions"]})
        labels = {one.label.position: _paired_label(one) for one in labels_at(tx, row, positions, draft=True)}
        datasets, _ = resources.page(tx, Dataset, limit=_CHOICES, after=None, vocabulary_id=row.vocabulary_id)
        chosen = _chosen(tx, dataset, datasets, row.vocabulary_id)
        all_reports = select(SetReport.teacher).where(SetReport.set_id == id, SetReport.teacher != "")
        values: dict[str, Any] = {
            "vocabulary": vocabularies.get(tx, row.vocabulary_id),
            "reported": sorted(tx.scalars(all_reports)),
            "teachers": sorted(set(tx.scalars(select(Teacher.ref).order_by(Teacher.id.desc()).limit(_CHOICES)))),
        }
    images: Mapping[int, list[int]] = {}
    if chosen is not None and positions:
        found = rows.of_labels(chosen.manifest_key, positions)
        images = dict(zip(positions, found, strict=True))
    return page(
        request,
        "attribute_pairs.html.jinja",
        set=row,
        pairs=[{**pair, "labels": [labels[position] for position in pair["positions"]]} for pair in pairs],
        images=images,
        dataset=chosen,
        datasets=[(one.id, one.name) for one in datasets],
        report=report,
        base=f"/attributes/{quote(id, safe='')}",
        **values,
    )


@router.get("/attributes/{id}/changes")
def changes_page(
    request: Request,
    services: ServicesDep,
    id: str,
    with_: Annotated[str, Query(alias="with", max_length=200)] = "",
    after: Annotated[int | None, Query(ge=0, le=2 * MAX_INT32)] = None,
) -> HTMLResponse:
    """The labels that differ from the parent, or from another set, with the lines that were added and removed."""
    with services.db.read() as tx:
        row = attribute_sets.get(tx, id)
        other_id = with_ or row.parent_id
        found: list[LabelDifferenceOut] = []
        more = False
        if other_id is not None:
            start = 0 if after is None else after + 1
            different, more = comparison.differences(
                tx, row, attribute_sets.get(tx, other_id), start=start, limit=_CHANGES
            )
            found = [label_difference(one) for one in different]
        others, _ = resources.page(tx, AttributeSet, limit=_CHOICES, after=None, vocabulary_id=row.vocabulary_id)
        vocabulary = vocabularies.get(tx, row.vocabulary_id)
    path = f"/attributes/{quote(id, safe='')}"
    shown = _fitting_changes(found)
    more = more or len(shown) < len(found)
    return page(
        request,
        "attribute_changes.html.jinja",
        set=row,
        vocabulary=vocabulary,
        other_id=other_id,
        others=[one.id for one in others if one.id != id],
        changes=shown,
        max_lines=_CHANGED_LINES,
        max_chars=_CHANGED_CHARS,
        next_url=with_query(f"{path}/changes", **{"with": with_ or None}, after=shown[-1].at) if more else "",
        first_url=with_query(f"{path}/changes", **{"with": with_ or None}) if after is not None else "",
        base=path,
    )


@router.get("/answers/{key}")
def answer_page(request: Request, services: ServicesDep, key: str) -> HTMLResponse:
    """The model, the messages and the response from which a line comes."""
    with services.db.read() as tx:
        row = results.get_response(tx, key)
        answer, answered = LLMResponseOut.model_validate(row), row.created_at
    messages = [(str(one.get("role", "")), _text_of(one.get("content"))) for one in answer.messages]
    return page(
        request,
        "answer.html.jinja",
        answer=answer,
        answered=answered,
        messages=messages,
        max_chars=_ANSWER_CHARS,
    )


def _label_filter(q: str, within: Where, gate: str, only: Only, flag: str) -> LabelFilter:
    marks = [attribute_sets.flag_mark(flag)] if flag else []
    marks += {
        "human": [attribute_sets.origin_mark("human")],
        "locked": [attribute_sets.LOCKED],
        "undescribed": [attribute_sets.UNDESCRIBED],
    }.get(only, [])
    return LabelFilter(
        text=normalize(q),
        where=within,
        gate=gate,
        marks=marks,
        unreviewed=only == "unreviewed",
        changed=only == "changed",
    )


def _next_start(found: Sequence[LabelLines], shown: Sequence[ShownLabel], more: bool) -> int | None:
    """The position from which the next page is read, or None on the last page."""
    if len(shown) < len(found):
        return found[len(shown)].label.position
    return found[-1].label.position + 1 if more else None


def _about(tx: Session, row: AttributeSet, vocabulary_name: str) -> list[tuple[str, object]]:
    students, _ = resources.page(tx, Checkpoint, limit=_RELATED, after=None, attribute_set_id=row.id)
    children, _ = resources.page(tx, AttributeSet, limit=_RELATED, after=None, parent_id=row.id)
    found: list[tuple[str, object]] = [
        ("Vocabulary", link(row.vocabulary_id, vocabulary_name)),
        ("Described", f"{row.num_described:,} of {row.num_labels:,}"),
        ("Flagged", formats.number(row.num_flagged)),
        ("Made by", _origin(row)),
        ("Created", formats.time_tag(row.created_at)),
    ]
    if row.parent_id:
        found.append(("Parent", link(row.parent_id)))
    if children:
        found.append(("Edited sets", Markup(", ").join(link(one.id) for one in children)))
    if students:
        found.append(("Students", Markup(", ").join(link(one.id, one.student) for one in students)))
    return found


def _origin(row: AttributeSet) -> object:
    source = row.source
    if source.get("edit_of"):
        return Markup("edits of <bdi>{}</bdi>").format(source.get("edited_by", ""))
    if source.get("job_id"):
        return link(str(source["job_id"]))
    return f"import of {source['import']}" if source.get("import") else "unknown"


def _counting_teacher(
    tx: Session, wanted: str, report: SetReport | None, teachers: Sequence[str]
) -> Mapping[str, object]:
    """The teacher that counts tokens: the wanted one, that of the report, the newest, or none."""
    newest = tx.scalar(select(Teacher.ref).order_by(Teacher.id.desc()).limit(1))
    for ref in (wanted, report.teacher if report else "", newest or ""):
        if ref and (row := resources.newest_teacher(tx, ref)) is not None:
            return {"ref": row.ref, "context": row.context_length}
    return {"ref": "", "context": 77}


def _gate_rows(path: str, report: SetReport | None, chosen: str) -> list[Mapping[str, object]]:
    if report is None:
        return []
    return [
        {
            "gate": one["gate"],
            "title": one["tells"],
            "figure": _gate_figure(one, "figure"),
            "threshold": _gate_figure(one, "threshold"),
            "num_labels": one["num_labels"],
            "verdict": {True: "holds", False: "fails"}.get(one["holds"], "not measured"),
            "url": with_query(path, gate=one["gate"]) + "#labels",
            "chosen": one["gate"] == chosen,
        }
        for one in report.figures.get("gates", ())
    ]


def _gate_figure(result: Mapping[str, Any], name: str) -> str:
    value = result[name]
    if value is None:
        return formats.NONE
    return formats.share(value) if result["unit"] == "share" else formats.number(round(value))


def _violations(
    artefacts: Artefacts, report: SetReport, gate: str, found: Sequence[LabelLines]
) -> Mapping[int, LabelViolationOut]:
    """Position → why the label violates the gate, if the newest report says so."""
    offsets = report.figures.get("places", {}).get(gate)
    if not found or not offsets:
        return {}
    first, last = found[0].label.position, found[-1].label.position
    violations: dict[int, LabelViolationOut] = {}
    try:
        for one in read_violations(artefacts, report.file_key, offsets, after=first - 1):
            if one.position > last:
                break
            violations[one.position] = one
    except FileNotFoundError:
        return {}
    return violations


def _pair_report(tx: Session, set_id: str, teacher: str) -> SetReport | None:
    """The report with the teacher; without one the newest with any teacher, else the newest."""
    if teacher:
        return reports.get(tx, set_id, teacher)
    query = select(SetReport).where(SetReport.set_id == set_id)
    return tx.scalar(query.order_by((func.length(SetReport.teacher) > 0).desc(), SetReport.created_at.desc()).limit(1))


def _pairs(report: SetReport) -> list[dict[str, Any]]:
    """Positions and margins of the most confusable pairs, if the report was made with a teacher."""
    gates = {one["gate"]: one for one in report.figures.get("gates", ())}
    pairs = gates.get("margin", {}).get("details", {}).get("most_confusable", ())
    return [{"positions": one["positions"], "margin": one["margin"]} for one in pairs]


def _paired_label(one: LabelLines) -> Mapping[str, object]:
    lines = [LineOut.model_validate(line_from_json(line)) for line in one.lines]
    return {
        "position": one.label.position,
        "name": one.label.name,
        "sense": one.label.sense,
        "lines": [(line.kind, _cut(line.text, _PAIRED_CHARS)) for line in lines[:_PAIRED_LINES]],
        "num_more": max(0, len(lines) - _PAIRED_LINES),
    }


def _chosen(tx: Session, wanted: str, datasets: Sequence[Dataset], vocabulary_id: str) -> Dataset | None:
    """The wanted dataset, whose labels must be those of the set, or the newest one of the vocabulary."""
    if not wanted:
        return datasets[0] if datasets else None
    row = resources.dataset(tx, wanted)
    if row.vocabulary_id != vocabulary_id:
        raise NotFound(f"dataset of vocabulary {vocabulary_id}", wanted)
    return row


def _fitting_changes(found: Sequence[LabelDifferenceOut]) -> list[LabelDifferenceOut]:
    """The first changes, with at most some 200 KB of text: at least one."""
    shown: list[LabelDifferenceOut] = []
    left = 200_000
    for one in found:
        lines = [*one.added, *one.removed, *one.locked, *one.unlocked]
        left -= 600 + sum(300 + 3 * min(len(line.text), _CHANGED_CHARS) for line in lines[: 4 * _CHANGED_LINES])
        if shown and left < 0:
            break
        shown.append(one)
    return shown


def _text_of(content: object) -> str:
    """The text of a chat message: a string, or a list of parts of which the text is shown."""
    if isinstance(content, list):
        parts = [part if isinstance(part, Mapping) else {"text": str(part)} for part in content]
        return "\n".join(str(part.get("text", f"[{part.get('type', 'part')}]")) for part in parts)
    return "" if content is None else str(content)


def _cut(text: str, max_chars: int) -> str:
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"
