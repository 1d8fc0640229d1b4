"""`limbeck evaluate`: accuracies of a student or a teacher on a dataset, also of labels it was not trained on."""

from typing import Annotated, Any

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Priority, Url, service
from limbeck.commands.evaluations import Row, results_table
from limbeck.commands.plans import print_job_check, refusals_by_option
from limbeck.commands.started_jobs import start
from limbeck.commands.tables import AsJson, print_json
from limbeck.commands.train_options import TEACHER_HELP, Concept, DryRun, Text, text_kind


def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="[CHECKPOINT]", help="The student: ckp_….")] = "",
    *,
    dataset: Annotated[str, typer.Option(help="The dataset to measure on: dst_…; its labels may be new.")],
    teacher: Annotated[str, typer.Option(help=f"Instead of CHECKPOINT: the teacher to measure. {TEACHER_HELP}")] = "",
    attributes: Annotated[str, typer.Option(help="The attribute set: ats_…; without one, the texts are names.")] = "",
    text: Text = "",
    concept: Concept = "",
    shots: Annotated[int, typer.Option(min=0, help="Images per label for a further evaluation by retrieval.")] = 0,
    priority: Priority = 0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Measure a student or a teacher on a dataset, and print its accuracies.

    The dataset can have another vocabulary than the student was trained on: its labels are encoded by the student's
    teacher, and images that the student was trained on are left out.

    Examples:

      limbeck evaluate ckp_… --dataset dst_…
      limbeck evaluate ckp_… --dataset dst_… --attributes ats_… --text phrases
      limbeck evaluate --teacher ViT-B-32:openai --dataset dst_…
    """
    from rich.console import Console

    from limbeck.progress import follow

    if not checkpoint and not teacher:
        raise BadInput("give CHECKPOINT, or --teacher")
    console = Console(stderr=as_json)
    kind = text_kind(text, has_attributes=bool(attributes))
    options: dict[str, Any] = {
        "dataset_id": dataset,
        "checkpoint_id": checkpoint or None,
        "teacher": teacher or None,
        "attribute_set_id": attributes or None,
        "text": kind,
        "concept": concept,
        "priority": priority or None,
        "shots": shots or None,
    }
    with service(url) as client, refusals_by_option():
        if dry_run:
            checked = client.jobs.check("evaluate", **options)
            print_job_check(checked, console)
            return print_json(checked.model_dump(mode="json")) if as_json else None
        job = follow(client, start(client, console, "evaluate", **options), console, title="evaluate")
    evaluation = (job.result or {})["evaluation"]
    if as_json:
        return print_json(job.model_dump(mode="json"))
    who = "student" if checkpoint else "teacher"
    rows: list[Row] = [(who, kind, evaluation)]
    console.print(results_table(rows))
    if evaluation.get("retrieval"):
        accuracy = evaluation["retrieval"]["accuracy"]
        console.print(f"with retrieval from {shots} images per label: {accuracy:.1%}", highlight=False)
    if left_out := evaluation.get("num_training_images"):
        console.print(f"{left_out:,} images were left out: the student was trained on them", highlight=False)
