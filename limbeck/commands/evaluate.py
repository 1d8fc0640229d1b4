"""`limbeck evaluate`: accuracies of a student or a teacher on a dataset, also of labels it was not trained on."""

from typing import Annotated, Any

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, Priority, Url, service
from limbeck.commands.evaluations import Row, results_table
from limbeck.commands.further_results import further_tables
from limbeck.commands.plans import print_job_check
from limbeck.commands.refusals import refusals_by_option
from limbeck.commands.started_jobs import start
from limbeck.commands.tables import AsJson, print_json
from limbeck.commands.train_options import TEACHER_HELP, Attributes, Concept, DryRun, Text, text_kind
from limbeck.shared.text import counted


def evaluate(
    checkpoint: Annotated[str, typer.Argument(metavar="[CHECKPOINT]", help="The student: ckp_….")] = "",
    *,
    dataset: Annotated[str, typer.Option(help="The dataset to measure on: dst_…; its labels may be new.")],
    teacher: Annotated[str, typer.Option(help=f"Instead of CHECKPOINT: the teacher to measure. {TEACHER_HELP}")] = "",
    attributes: Attributes = "",
    text: Text = "",
    concept: Concept = "",
    shots: Annotated[int, typer.Option(min=0, help="Images per label for a further evaluation by retrieval.")] = 0,
    domain: Annotated[
        list[str] | None, typer.Option(help="A dataset of the same labels in another style: dst_…; repeatable.")
    ] = None,
    far: Annotated[str, typer.Option(help="A dataset of other things: dst_…, for the open-set results.")] = "",
    corruptions: Annotated[
        int, typer.Option(min=0, metavar="IMAGES", help="Images for the 15 corruptions of ImageNet-C at 5 strengths.")
    ] = 0,
    baseline: Annotated[
        str, typer.Option(help="With --corruptions: the job of a closed-set baseline, job_…, to compare with.")
    ] = "",
    outliers: Annotated[
        str, typer.Option(help="An attribute set with outlier labels: ats_…, for the open-set results.")
    ] = "",
    priority: Priority = 0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Measure a student or a teacher on a dataset, and print its accuracies.

    The dataset can have another vocabulary than the student was trained on: its labels are encoded by the student's
    teacher, and images that the student was trained on are left out. For a student, recall of the embeddings and
    open-set results are measured too.

    Examples:

      limbeck evaluate ckp_… --dataset dst_…
      limbeck evaluate ckp_… --dataset dst_… --attributes ats_… --text phrases
      limbeck evaluate ckp_… --dataset dst_… --domain dst_… --domain dst_… --far dst_…
      limbeck evaluate ckp_… --dataset dst_… --corruptions 200 --baseline job_…
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
        "domain_dataset_ids": domain or None,
        "far_dataset_id": far or None,
        "corruption_images": corruptions or None,
        "baseline_job_id": baseline or None,
        "outlier_set_id": outliers or None,
    }
    with service(url) as client, refusals_by_option(arguments={"--checkpoint": "CHECKPOINT"}):
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
        console.print(f"with retrieval from {counted(shots, 'image')} per label: {accuracy:.1%}", highlight=False)
    for table in further_tables(evaluation):
        console.print(table)
    if left_out := evaluation.get("num_training_images"):
        console.print(
            f"{counted(left_out, 'image was', 'images were')} left out: the student was trained on them",
            highlight=False,
        )
