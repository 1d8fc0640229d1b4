"""The inputs of `limbeck run`: labels of a file, attributes, options of its jobs; and the plan of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.commands.attribute_files import faults_of_file, read_content, read_document, report_lines
from limbeck.commands.common import BadInput, read_bytes
from limbeck.commands.image_options import ImageOptions
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.client.job_requests import CreatedKind
    from limbeck.models import CreatedVocabulary, TextKind
    from limbeck.models.plans import Plan
    from limbeck.shared.label_files.types import FileLabel

PLANNED = "planned"
"""In a plan, the id of what does not exist yet."""


@dataclass(frozen=True, kw_only=True)
class LabelList:
    """The labels of a file. `report`: how it was read."""

    name: str
    domain: str
    labels: Sequence["FileLabel"]
    report: str

    def body(self) -> dict[str, object]:
        """The vocabulary in the API's schema."""
        labels = [{"name": label.name, "sense": label.sense, "ids": dict(label.ids) or None} for label in self.labels]
        return {"name": self.name, "domain": self.domain, "labels": labels}

    def only(self, positions: Sequence[int]) -> "LabelList":
        """The labels at these positions."""
        return replace(self, labels=[self.labels[at] for at in positions])


def read_labels(path: Path, domain: str) -> LabelList:
    """The labels of a label file. Raises BadInput."""
    from limbeck.shared.label_files import LabelFileError, read_label_file

    content = read_bytes(path)
    try:
        file = read_label_file(content, path.name)
    except LabelFileError as error:
        raise BadInput(f"{path}: {error}") from None
    return LabelList(name=path.stem, domain=domain, labels=file.labels, report=file.report())


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """Everything that a run does. `enrich`: options of the enrichment; None without one. `attributes`: a set, or a file
    that is imported. `sentences_of`: the label2text.txt whose lines that file has a sentence for. `distill`: options of
    the distillation without ids."""

    labels: LabelList
    images: ImageOptions
    teacher: str
    text: "TextKind"
    enrich: Mapping[str, Any] | None = None
    attributes: str = ""
    sentences_of: Path | None = None
    distill: Mapping[str, Any] = field(default_factory=dict)
    out: Path

    @property
    def imports(self) -> bool:
        """Whether the attributes are a file."""
        return bool(self.attributes) and not self.attributes.startswith("ats_")

    @property
    def attribute_set_id(self) -> str | None:
        """The attribute set of the distillation; `planned` if it does not exist yet."""
        if self.text == "names":
            return None
        return self.attributes if self.attributes.startswith("ats_") else PLANNED

    def jobs(
        self, vocabulary_id: str = PLANNED, dataset_id: str = PLANNED, attribute_set_id: str | None = None
    ) -> list[tuple["CreatedKind", dict[str, Any]]]:
        """Kind and options of the jobs, with the id `planned` for what does not exist yet."""
        enrich: list[tuple[CreatedKind, dict[str, Any]]] = (
            [] if self.enrich is None else [("enrich", {"vocabulary_id": vocabulary_id, **self.enrich})]
        )
        distill = {
            "dataset_id": dataset_id,
            "attribute_set_id": attribute_set_id or self.attribute_set_id,
            **self.distill,
        }
        return [*enrich, ("distill", distill)]


def with_domain_of_attributes(client: "Client", inputs: RunInputs) -> RunInputs:
    """The inputs, with the domain of the given attribute set if none was given: a vocabulary includes its domain."""
    if inputs.labels.domain or not inputs.attributes.startswith("ats_"):
        return inputs
    vocabulary = client.vocabularies.get(client.attribute_sets.get(inputs.attributes).vocabulary_id)
    return replace(inputs, labels=replace(inputs.labels, domain=vocabulary.domain))


def plan_run(client: "Client", inputs: RunInputs, *, is_dry_run: bool) -> tuple[RunInputs, "Plan"]:
    """Check a whole run; nothing is stored. With `--only-matching`, the labels become those that have images.

    A dry run also opens the images, and measures how long the training will take.
    """
    plan = _plan(client, inputs, is_dry_run=is_dry_run)
    assert plan.dataset is not None
    if not inputs.images.only_matching or len(plan.dataset.labels) == len(inputs.labels.labels):
        return inputs, plan
    labels = inputs.labels.only(plan.dataset.labels)
    names = {label.name for label in labels.labels}
    folder_map = {folder: label for folder, label in inputs.images.folder_map.items() if label in names}
    matching = replace(inputs, labels=labels, images=replace(inputs.images, folder_map=folder_map))
    return matching, _plan(client, matching, is_dry_run=is_dry_run)


def _plan(client: "Client", inputs: RunInputs, *, is_dry_run: bool) -> "Plan":
    return client.jobs.plan(
        inputs.jobs(),
        vocabulary=inputs.labels.body(),
        dataset=inputs.images.plan(opens_images=is_dry_run),
        measure=is_dry_run,
    )


def check_attribute_file(inputs: RunInputs) -> None:
    """Read a text file of attributes and find its labels, before anything is stored. Raises BadInput.

    Binary files and folders are read by the service alone.
    """
    if not inputs.imports:
        return
    from attributes.formats.common import FormatError
    from attributes.formats.label2text import join_sentences, read_label2text
    from attributes.formats.registry import parse_entries
    from limbeck.shared.attribute_files.matching import assign
    from limbeck.shared.attribute_files.reading import Reading

    file, reading = Path(inputs.attributes), Reading()
    content, _ = read_content(file)
    if isinstance(content, bytes):
        return
    try:
        if inputs.sentences_of is None:
            entries = parse_entries(content, None, reading)
        else:
            rows = read_label2text(read_document(inputs.sentences_of)[0], reading)
            entries = join_sentences(rows, content, reading)
    except FormatError as error:
        raise BadInput(f"--attributes {file}: {error}") from None
    labels = [(label.name, label.sense) for label in inputs.labels.labels]
    assignment = assign([(entry.label, entry.sense) for entry in entries], labels)
    if assignment.num_faults:
        first = assignment.faults[0][1]
        raise BadInput(f"--attributes {file}: {assignment.num_faults} of {len(entries)} labels have no place: {first}")


def create_vocabulary(client: "Client", labels: LabelList, console: "Console") -> "CreatedVocabulary":
    """Create the vocabulary, and print its id."""
    body = labels.body()
    created = client.vocabularies.create(labels.name, body["labels"], domain=labels.domain)  # type: ignore[arg-type]
    exists = ", which exists" if created.reused else ""
    console.print(f"{counted(created.num_labels, 'label')} as {created.id}{exists}", highlight=False, markup=False)
    return created


def import_attributes(
    client: "Client", file: Path, vocabulary_id: str, console: "Console", sentences_of: Path | None = None
) -> str:
    """Import a file of attributes for the vocabulary, and print the report. Returns the set's id.

    `sentences_of`: label2text.txt, if the file has a sentence for each of its lines.
    If the file was imported before, it is the id of the first set with this content, so that a run continues.
    """
    document, encoding = read_content(file)
    with faults_of_file(file):
        if sentences_of is None:
            imported = client.attribute_sets.import_file(document, vocabulary_id=vocabulary_id)
        else:
            lines, _ = read_document(sentences_of)
            imported = client.attribute_sets.import_sentences(lines, str(document), vocabulary_id=vocabulary_id)
    for line in report_lines(imported.import_report, encoding):
        console.print(line, highlight=False, markup=False)
    described = f"{imported.num_described:,} of {imported.num_labels:,} labels"
    sets = client.attribute_sets.list(vocabulary_id=vocabulary_id)  # newest first
    *_, first = (row.id for row in sets if row.digest == imported.digest and row.parent_id is None)
    exists = "" if first == imported.id else ", which exists"
    console.print(f"attributes of {described} as {first}{exists}", highlight=False, markup=False)
    return first
