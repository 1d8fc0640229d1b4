"""`limbeck checkpoints`: list and show trained students, and the files of their bundles."""

from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.evaluations import accuracy_text, figures_of
from limbeck.commands.quantities import local_time, size_text
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_fields, print_json, print_list, simple_table
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from limbeck.models import Checkpoint

cli = typer.Typer(help="Checkpoints: trained students.", no_args_is_help=True)

CheckpointId = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="The checkpoint's id: ckp_…")]


@cli.command("list")
def list_(
    dataset: Annotated[str, typer.Option(help="Only students of this dataset.")] = "",
    attributes: Annotated[str, typer.Option(help="Only students of this attribute set.")] = "",
    job: Annotated[str, typer.Option(help="Only the student of this job.")] = "",
    owner: Owner = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List students with their mean per-class accuracy, or mAP if images have several labels; newest first.

    limbeck checkpoints list --dataset dst_…
    """
    with service(url) as client:
        print_list(
            client.checkpoints.list(
                dataset_id=dataset or None, attribute_set_id=attributes or None, job_id=job or None, owner=owner or None
            ),
            {
                "id": lambda row: row.id,
                ">seen": lambda row: accuracy_text(figures_of(row.evaluation, "id")),
                ">unseen": lambda row: accuracy_text(figures_of(row.evaluation, "ood")),
                "created": lambda row: local_time(row.created_at),
                "text": lambda row: row.text,
                "student": lambda row: row.student,
            },
            limit=limit,
            as_json=as_json,
            empty="no student yet: limbeck run, or limbeck distill",
        )


@cli.command("show")
def show(id: CheckpointId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show a student: its accuracy, its inputs and the size of its parts.

    limbeck checkpoints show ckp_…
    """
    with service(url) as client:
        found = client.checkpoints.get(id)
    if as_json:
        return print_json(found.model_dump(mode="json"))
    sizes: dict[str, int] = {}
    for file in found.files:
        part = file.path.partition("/")[0] if "/" in file.path else "other files"
        sizes[part] = sizes.get(part, 0) + file.size
    print_fields(
        {
            "id": found.id,
            "student": found.student,
            "text": found.text,
            "seen labels": _accuracy_of_labels(found, "id"),
            "unseen labels": _accuracy_of_labels(found, "ood"),
            "job": found.job_id,
            "dataset": found.dataset_id,
            "vocabulary": found.vocabulary_id,
            "attribute set": found.attribute_set_id,
            "text targets": found.text_targets_id,
            "teacher": found.teacher_id,
            "owner": found.owner,
            "created": local_time(found.created_at),
            "digest": found.digest,
            "parts": ", ".join(f"{part} {size_text(size)}" for part, size in sorted(sizes.items())),
        }
    )
    typer.echo(f"download it: limbeck download {found.id} --out FOLDER")


@cli.command("files")
def files(id: CheckpointId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List the files of a student's bundle.

    limbeck checkpoints files ckp_…
    """
    with service(url) as client:
        found = client.checkpoints.get(id).files
    if as_json:
        return print_json([file.model_dump(mode="json") for file in found])
    rows = [(file.path, size_text(file.size), file.sha256[:12]) for file in found]
    typer.echo(simple_table(("path", ">size", "sha256"), rows))


@cli.command("rm")
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="CHECKPOINT...", help="The ids of the checkpoints: ckp_…")],
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete students, with the files of their bundles.

    Refused while something refers to it, or while a job needs it. With --force, what refers to it is deleted too.

        limbeck checkpoints rm ckp_…
    """
    with service(url) as client:
        remove(client.checkpoints, ids, force=force, yes=yes, as_json=as_json)


def _accuracy_of_labels(checkpoint: "Checkpoint", part: str) -> str:
    measured = figures_of(checkpoint.evaluation, part)
    if measured is None:
        return "not measured"
    measure = "" if "mean_ap" in measured else " mean per-class accuracy"
    return f"{accuracy_text(measured)}{measure}, {counted(measured.get('num_labels', 0), 'label')}"
