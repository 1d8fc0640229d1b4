"""`limbeck distill`: train a student on a dataset, with names or with a sealed attribute set."""

from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Priority, Url, service
from limbeck.commands.evaluations import Row, is_measured, no_student_text, results_table
from limbeck.commands.plans import check_out, print_job_check
from limbeck.commands.refusals import refusals_by_option
from limbeck.commands.started_jobs import start
from limbeck.commands.tables import AsJson, print_json
from limbeck.commands.train_options import (
    Attributes,
    Concept,
    Dataset,
    DryRun,
    NumNodes,
    NumProcesses,
    Pretrained,
    Recipe,
    Set,
    Student,
    Teacher,
    Text,
    TextOnnx,
    TimeBudget,
    save_checkpoints,
    train_config,
    training_job,
)


def distill(
    dataset: Dataset,
    teacher: Teacher,
    attributes: Attributes = "",
    text: Text = "",
    concept: Concept = "",
    student: Student = "",
    recipe: Recipe = "limbeck",
    set_: Set = None,
    pretrained: Pretrained = False,
    time_budget: TimeBudget = "",
    text_onnx: TextOnnx = False,
    captions: Annotated[str, typer.Option(help="For the loss cap: the caption set of the images.")] = "",
    start_from: Annotated[
        str, typer.Option("--start", help="For protocol fine_tune: the checkpoint to continue from.")
    ] = "",
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Keep the student after every n-th epoch: limbeck jobs checkpoints JOB.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, max=100, help="With --save-every: how many are kept; 5 by default.")
    ] = None,
    nproc: NumProcesses = 1,
    nnodes: NumNodes = 1,
    out: Annotated[Path | None, typer.Option(help="Download the student to this folder.")] = None,
    priority: Priority = 0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Distil a teacher into a student on a dataset, and evaluate both.

    Examples:

      limbeck distill --dataset dst_… --teacher ViT-B-32:openai
      limbeck distill --dataset dst_… --teacher ViT-B-32:openai --student mobilenetv4 --pretrained --time-budget 30m
      limbeck distill --dataset dst_… --attributes ats_… --teacher ViT-B-32:openai --text phrases --out student
    """
    from rich.console import Console

    from limbeck.client.downloads import DEFAULT_PARTS
    from limbeck.commands.download import fetch_bundle
    from limbeck.progress import follow

    console = Console(stderr=as_json)
    options = training_job(
        dataset=dataset,
        attributes=attributes,
        teacher=teacher,
        text=text,
        concept=concept,
        recipe=recipe,
        nproc=nproc,
        priority=priority,
    )
    options |= {
        "config": train_config(set_, student, text_onnx=text_onnx, pretrained=pretrained, time_budget=time_budget),
        "caption_set_id": captions or None,
        "start_checkpoint_id": start_from or None,
        "save_checkpoints": save_checkpoints(save_every, keep),
        "nnodes": nnodes if nnodes > 1 else None,
    }
    if out is not None:
        check_out(out)
    with service(url) as client, refusals_by_option(set_):
        checked = client.jobs.check("distill", measure=dry_run, **options)
        if dry_run:
            print_job_check(checked, console)
            return print_json(checked.model_dump(mode="json")) if as_json else None
        job = follow(client, start(client, console, "distill", **options), console, title="distil the student")
        result = job.result or {}
        if out is not None and result.get("checkpoint_id"):
            fetch_bundle(client, result["checkpoint_id"], out, DEFAULT_PARTS, quiet=as_json)
    if as_json:
        return print_json(job.model_dump(mode="json"))
    evaluation = result["evaluation"]
    if is_measured(evaluation):
        teachers: list[Row] = [("teacher", options["text"], measured) for measured in evaluation["teacher"]]
        console.print(results_table([("student", options["text"], evaluation), *teachers]))
    else:
        console.print("not measured: all images are for training", highlight=False)
    if checkpoint := result.get("checkpoint_id"):
        hint = f"limbeck classify {out} IMAGE" if out else f"limbeck download {checkpoint} --out student"
        console.print(f"student {checkpoint}; next: {hint}", highlight=False, markup=False, soft_wrap=True)
    else:
        console.print(no_student_text(job.id), highlight=False, markup=False, soft_wrap=True)
