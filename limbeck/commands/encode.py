"""`limbeck encode`: text features of a vocabulary's labels by a teacher, with which a student knows new labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Priority, Url, service
from limbeck.commands.plans import print_job_check
from limbeck.commands.refusals import OF_VOCABULARY, refusals_by_option
from limbeck.commands.run_inputs import create_vocabulary, read_labels
from limbeck.commands.started_jobs import start
from limbeck.commands.tables import AsJson, print_json
from limbeck.commands.train_options import TEACHER_HELP, Attributes, Concept, DryRun, Text, text_kind
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.models.plans import JobCheck


def encode(
    of: Annotated[
        str,
        typer.Argument(metavar="[VOCABULARY_OR_FILE]", help="voc_…, or a label file; by default that of --attributes."),
    ] = "",
    attributes: Attributes = "",
    checkpoint: Annotated[str, typer.Option(help="Encode with the teacher of this student: ckp_…")] = "",
    teacher: Annotated[str, typer.Option(help=TEACHER_HELP)] = "",
    text: Text = "",
    concept: Concept = "",
    domain: Annotated[str, typer.Option(help="The category of a file's labels: birds, dishes, tools.")] = "",
    priority: Priority = 0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Encode the label texts of a vocabulary with a teacher: text targets for every student of that teacher.

    New words after training: encode them with the student's teacher, and use the text targets with the downloaded
    student. Nothing is trained.

    Examples:

      limbeck encode new-birds.txt --checkpoint ckp_…
      limbeck encode --attributes ats_… --text phrases --teacher ViT-B-32:openai
    """
    from rich.console import Console

    from limbeck.progress import follow

    if not checkpoint and not teacher:
        raise BadInput("give --checkpoint, whose teacher encodes, or --teacher")
    if not of and not attributes:
        raise BadInput("give a vocabulary, a label file, or --attributes")
    console = Console(stderr=as_json)
    options: dict[str, Any] = {
        "attribute_set_id": attributes or None,
        "checkpoint_id": checkpoint or None,
        "teacher": teacher or None,
        "text": text_kind(text, has_attributes=bool(attributes)),
        "concept": concept,
        "priority": priority or None,
    }
    with service(url) as client, refusals_by_option(arguments=OF_VOCABULARY):
        if dry_run:
            checked = _check(client, of, domain, options)
            print_job_check(checked, console)
            return print_json(checked.model_dump(mode="json")) if as_json else None
        options["vocabulary_id"] = _vocabulary(client, console, of, domain)
        job = follow(client, start(client, console, "encode", **options), console, title="encode the texts")
        targets = client.text_targets.get((job.result or {})["text_targets_id"])
    if as_json:
        return print_json(targets.model_dump(mode="json"))
    size = f"{counted(targets.num_labels, 'label')}, {counted(targets.width, 'number')} each"
    console.print(f"text targets {targets.id}: {size}", highlight=False, markup=False)
    console.print(f"next: limbeck texts download {targets.id} --out FOLDER", highlight=False, markup=False)


def _check(client: "Client", of: str, domain: str, options: dict[str, Any]) -> "JobCheck":
    if of and not of.startswith("voc_"):
        labels = read_labels(Path(of), domain)
        plan = client.jobs.plan([("encode", {"vocabulary_id": "planned", **options})], vocabulary=labels.body())
        return plan.jobs[0]
    return client.jobs.check("encode", vocabulary_id=of or None, **options)


def _vocabulary(client: "Client", console: "Console", of: str, domain: str) -> str | None:
    """The id of a vocabulary, which is created from a file; None for that of the attribute set."""
    if not of or of.startswith("voc_"):
        return of or None
    labels = read_labels(Path(of), domain)
    console.print(labels.report, highlight=False, markup=False)
    return create_vocabulary(client, labels, console).id
