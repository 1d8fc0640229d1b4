"""Options of jobs with a teacher, a text and a student: for `run`, `distill`, `evaluate` and `encode`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands.common import BadInput, assignments
from limbeck.commands.quantities import duration_s

if TYPE_CHECKING:
    from limbeck.models import TextKind

TEACHER_HELP = "ViT-B-32:openai, hf-hub:org/name, or, below the data root, ViT-B-32:FILE or local-dir:PATH."
Dataset = Annotated[str, typer.Option(help="The dataset: dst_…")]
Attributes = Annotated[str, typer.Option(help="The attribute set: ats_…; without one, the texts are names.")]
Teacher = Annotated[str, typer.Option(help=TEACHER_HELP)]
Text = Annotated[str, typer.Option(help="The label texts: names, sentence, phrases, answers, contrast, all.")]
Concept = Annotated[str, typer.Option(help="A word for all labels: bird.")]
Student = Annotated[
    str,
    typer.Option(
        help="A timm model: resnet18, resnet50, mobilenetv4, vit_base_patch32_224 …; the recipe's by default."
    ),
]
Pretrained = Annotated[
    bool, typer.Option("--pretrained", help="Start from timm's published weights, with fewer epochs and a lower rate.")
]
TimeBudget = Annotated[
    str,
    typer.Option(
        "--time-budget",
        metavar="TIME",
        help="Choose epochs and teacher views so that the training takes this time on its worker: 30m, 8h.",
    ),
]
SETTING_OPTIONS = {
    "student": "--student",
    "text_onnx": "--text-onnx",
    "pretrained": "--pretrained",
    "time_budget_s": "--time-budget",
}
"""The settings that have an option of their own."""
RECIPE_HELP = (
    "limbeck (photographs), limbeck-small (64 px), li2023_resnet or li2023_vit, or their _5shot and _improved variants."
)
Recipe = Annotated[str, typer.Option(help=RECIPE_HELP)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SETTING=VALUE", help="Set a recipe field: epochs=10, losses.mse=0. Repeatable."),
]
TextOnnx = Annotated[
    bool,
    typer.Option(
        "--text-onnx",
        help="Write the teacher's text encoder to onnx/, for labels that are not in the list.",
    ),
]
NumProcesses = Annotated[
    int,
    typer.Option("--nproc", min=1, help="Ranks that train together on one machine, each on one GPU."),
]
NumNodes = Annotated[
    int, typer.Option("--nnodes", min=1, help="Machines (GPU workers) that train together, each with --nproc ranks.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything and print what would be done; write nothing.")
]


def text_kind(text: str, *, has_attributes: bool) -> "TextKind":
    """The text of labels; by default `sentence` with attributes, else `names`. Raises BadInput."""
    from limbeck.models import TEXT_KINDS

    chosen = text or ("sentence" if has_attributes else "names")
    if chosen not in TEXT_KINDS:
        raise BadInput(f"--text {text!r}: choose one of {', '.join(TEXT_KINDS)}")
    return chosen


def training_job(
    *,
    dataset: str,
    attributes: str,
    teacher: str,
    text: str,
    concept: str,
    recipe: str,
    nproc: int,
    priority: int,
) -> dict[str, Any]:
    """The arguments of a distill job that `distill` and `sweep` have in common. Raises BadInput."""
    return {
        "dataset_id": dataset,
        "attribute_set_id": attributes or None,
        "teacher": teacher,
        "text": text_kind(text, has_attributes=bool(attributes)),
        "concept": concept,
        "priority": priority or None,
        "recipe": recipe,
        "nproc": nproc if nproc > 1 else None,
    }


def train_config(
    set_: list[str] | None, student: str, *, text_onnx: bool = False, pretrained: bool = False, time_budget: str = ""
) -> dict[str, object]:
    """The settings that override those of the recipe. Raises BadInput."""
    named: dict[str, object] = {"student": student} if student else {}
    named |= {"text_onnx": True} if text_onnx else {}
    named |= {"pretrained": True} if pretrained else {}
    named |= {"time_budget_s": duration_s(time_budget, "--time-budget")} if time_budget else {}
    given = assignments(set_ or [], "--set")
    if twice := next((name for name, value in named.items() if given.get(name, value) != value), None):
        raise BadInput(f"--set {twice} contradicts {SETTING_OPTIONS[twice]}: leave one of them out")
    return given | named


def save_checkpoints(save_every: int | None, keep: int | None) -> dict[str, int] | None:
    """The students to keep while the training runs; None for none. Raises BadInput."""
    if save_every is None:
        if keep is not None:
            raise BadInput("--keep is for --save-every: give both, or leave it out")
        return None
    return {"every_epochs": save_every} | ({} if keep is None else {"keep": keep})
