"""Students that generalise, on the beetles: trains the arms, and writes the section of `docs/evidence.md` on them.

    make evidence-harder                               # all sections, with the commands of the Makefile
    python -m benchmarks.evidence.harder               # one seed, 40 epochs, validation
    python -m benchmarks.evidence.harder --arms live,phrases --epochs 100 --seeds 0,1,2

Results are kept in `--out` as by `python -m benchmarks.evidence`: a finished arm is not repeated, an interrupted one
resumes. `test` is for the final figure only.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.documents import put_part
from benchmarks.evidence.arms import BASE, TrainingArm, only_losses
from benchmarks.evidence.beetle_world import POOL, BeetleWorld, prepare_beetles
from benchmarks.evidence.report import unseen_accuracy
from benchmarks.evidence.run import ArmRecord
from benchmarks.evidence.run_all import run_arms
from benchmarks.evidence.statistics import Mean, mean_of
from distill import Stopped
from distill.cli.console import Console, duration
from distill.texts.text_templates import TextKind
from limbeck.shared.text import counted

PART = "students that generalise"
THREE = ("cls", "mse", "im_cst")
STRONG = {"rand_ops": 1, "rand_magnitude": 6, "colour": 0.3, "erase": 0.25, "teacher": "all"}


def _arm(
    name: str,
    title: str,
    *,
    text: TextKind = "sentence",
    num_pool: int = 0,
    num_teachers: int = 1,
    has_pairs: bool = False,
    **changes: object,
) -> TrainingArm:
    settings = {**BASE, "view": "live", "measured_epochs": 1, "threads": 1, "losses": only_losses(*THREE)} | changes
    return TrainingArm(
        name=name,
        title=title,
        section="harder",
        changes=settings,
        text=text,
        uses_base=False,
        num_images=3,
        num_pool=num_pool,
        num_teachers=num_teachers,
        has_pairs=has_pairs,
    )


def _recipe(name: str, title: str, *, num_pool: int = 0, **changes: object) -> TrainingArm:
    """`limbeck-small` with these changes."""
    settings = {"measured_epochs": 1, "threads": 1, "device": "cpu"} | changes
    return TrainingArm(
        name=name,
        title=title,
        section="harder",
        changes=settings,
        uses_base=False,
        num_images=3,
        num_pool=num_pool,
    )


_ARMS = [
    _arm("limbeck", "three terms, 20 cached views, as `limbeck-small` trains", view="same", num_views=20),
    _arm("live", "three terms, a new view in each epoch; every arm below changes one thing of it"),
    _arm("phrases", "a bank of the phrases of seen labels", losses=only_losses(*THREE, "phrase_kl"), phrase_top_k=256),
    _arm(
        "phrases of all",
        "a bank of the phrases of all labels",
        losses=only_losses(*THREE, "phrase_kl"),
        phrase_top_k=256,
        phrases="all",
    ),
    _arm(
        "phrases in pairs",
        "a bank of thousands of pairs of phrases, of seen labels",
        losses=only_losses(*THREE, "phrase_kl"),
        phrase_top_k=256,
        has_pairs=True,
    ),
    _arm("vlalign", "L-vlalign, the paper's fourth term", losses=only_losses(*THREE, "vlalign")),
    _arm("mixup", "mixup of half of the images", mix="mixup"),
    _arm("cutmix", "CutMix of half of the images", mix="cutmix"),
    _arm("strong views", "RandAugment, colour and erasing, seen by both", augmentation=STRONG),
    _arm(
        "strong views of the student",
        "the same, seen by the student alone",
        augmentation=STRONG | {"teacher": "crop"},
    ),
    _arm("pool", f"{POOL:,} images without labels, a third of each batch", num_pool=POOL, unlabelled_share=1 / 3),
    _arm(
        "pool and phrases",
        "these images, and a bank of the phrases of seen labels",
        num_pool=POOL,
        unlabelled_share=1 / 3,
        losses=only_losses(*THREE, "phrase_kl"),
        phrase_top_k=256,
    ),
    _arm(
        "nearest of the pool",
        f"the {POOL // 4:,} of them that are nearest to a training image",
        num_pool=POOL,
        unlabelled_share=1 / 3,
        unlabelled_nearest=POOL // 4,
    ),
    _arm("projector", "a projector for the terms of image features, dropped at the end", projector="mlp"),
    _arm(
        "mean teacher",
        "distance to the student's own moving average",
        losses=only_losses(*THREE, "ema_mse"),
        ema_decay=0.99,
    ),
    _arm("tuned teacher", "a linear map of the teacher's features, learned on seen labels", tuned_teacher=1.0),
    _arm("two teachers", "a second teacher, and a head of the student for each", num_teachers=2),
    _arm("averaged", "exponential moving average of the weights", average="ema", ema_decay=0.99),
    _arm("mean of phrases", "the mean over a text for each phrase as target", text="phrases"),
    _arm(
        "each phrase",
        "a text for each phrase as a target of its own",
        text="phrases",
        losses=only_losses("cls_texts", "mse", "im_cst"),
    ),
    _recipe("recipe", "the recipe `limbeck-small`, with 20 cached views", num_views=20),
    _recipe("recipe live", "the recipe with a new view in each epoch", view="live"),
    _recipe(
        "recipe with phrases and a pool",
        "the same, a bank of the phrases of seen labels, and images without labels as a third of each batch",
        view="live",
        losses=only_losses(*THREE, "phrase_kl"),
        phrase_top_k=256,
        num_pool=POOL,
        unlabelled_share=1 / 3,
    ),
]
HARDER_ARMS: Mapping[str, TrainingArm] = {arm.name: arm for arm in _ARMS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 130 if it was stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence.harder", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--arms", default=",".join(HARDER_ARMS), help="comma-separated list; all if not given")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each arm")
    parser.add_argument("--seeds", default="0", help="comma-separated list of seeds")
    parser.add_argument("--groups", default="validation", help="groups of unseen species to measure on")
    parser.add_argument("--out", type=Path, default=Path("evidence-harder"), help="folder for images and results")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the section of evidence.md to this folder")
    parser.add_argument("--list", action="store_true", help="list the arms")
    options = parser.parse_args(argv)
    if options.list:
        print("\n".join(f"{arm.name:28} {arm.title}" for arm in HARDER_ARMS.values()))
        return 0
    names, groups = options.arms.split(","), options.groups.split(",")
    if unknown := [name for name in names if name not in HARDER_ARMS]:
        parser.error(f'no arm is called "{unknown[0]}"; --list shows all arms')
    console, world = Console(sys.stderr), prepare_beetles(options.out)
    arms, seeds = [with_epochs(HARDER_ARMS[name], options.epochs) for name in names], map(int, options.seeds.split(","))
    try:
        records = run_arms(arms, [*seeds], groups, world, console, lambda record: _line([record], world, groups))
    except Stopped as stopped:
        print(f"stopped: {stopped}; run the same command again to resume", file=sys.stderr)
        return 130
    command = (
        f"python -m benchmarks.evidence.harder --arms '{options.arms}' --epochs {options.epochs} "
        f"--seeds {options.seeds} --groups {options.groups}"
    )
    title = counted(options.epochs, "epoch")
    title += "" if options.seeds == "0" else f", seeds {options.seeds}"
    title += "" if options.groups == "validation" else f", {options.groups}"
    text = report(records, world, groups, title=title, command=command)
    print(text)
    if options.write:
        put_part(options.write / "evidence.md", f"{PART}, {title}", text)
    return 0


def with_epochs(arm: TrainingArm, epochs: int) -> TrainingArm:
    """The arm with this number of epochs."""
    return replace(arm, changes={**arm.changes, "epochs": epochs})


def report(records: Sequence[ArmRecord], world: BeetleWorld, groups: Sequence[str], *, title: str, command: str) -> str:
    """The section: the teacher, and a row for each arm. `title`: epochs, seeds and groups."""
    head = "".join(f" | unseen, {group} | of its teacher" for group in groups)
    seeds = ", ".join(dict.fromkeys(str(one["seed"]) for one in records))
    introduction = (
        f"Accuracy on the beetles (`examples/beetles`), by `{command}`. Three pictures a species, batches of "
        f"{BASE['batch_size']} images, seeds {seeds}; "
        f"{duration(sum(one['seconds'] for one in records))} in total on {records[0]['machine']}. After ±: half of "
        "the 95% interval by Student's t over seeds."
    )
    rows = [
        f"| arm | student | texts | seen{head} | steps | minutes |",
        f"|---|---|---|---{'|---|---' * len(groups)}|---|---|",
        *_teacher(world, groups),
        *_tuned_teacher(records, world, groups),
        *_two_teachers(records, world, groups),
        *(
            _line([one for one in records if one["arm"] == name], world, groups)
            for name in dict.fromkeys(one["arm"] for one in records)
        ),
    ]
    return "\n\n".join([f"## Students that generalise, {title}", introduction, "\n".join(rows)])


def _teacher(world: BeetleWorld, groups: Sequence[str]) -> list[str]:
    rows = []
    for text in ("sentence", "phrases"):
        measured = [world.measured_teacher(group, text) for group in groups]
        cells = "".join(f" | {unseen:.1%} | " for _, unseen in measured)
        rows.append(f"| the teacher | | {text} | {measured[0][0]:.1%}{cells} | | |")
    return rows


def _tuned_teacher(records: Sequence[ArmRecord], world: BeetleWorld, groups: Sequence[str]) -> list[str]:
    """A row for each arm with a tuned teacher: what the map costs on unseen labels."""
    names = dict.fromkeys(one["arm"] for one in records if one["config"].get("tuned_teacher") is not None)
    rows = []
    for name in names:
        arm = HARDER_ARMS[name]
        measured = [world.measured_tuned_teacher(group, arm.text, arm.config(0)) for group in groups]
        cells = "".join(f" | {unseen:.1%} | " for _, unseen in measured)
        rows.append(f"| the teacher of {name} | | {arm.text} | {measured[0][0]:.1%}{cells} | | |")
    return rows


def _two_teachers(records: Sequence[ArmRecord], world: BeetleWorld, groups: Sequence[str]) -> list[str]:
    """A row for each arm with two teachers: their joint accuracy."""
    rows = []
    for name in dict.fromkeys(one["arm"] for one in records):
        arm = HARDER_ARMS[name]
        if arm.num_teachers > 1:
            measured = [world.for_arm(arm).measured_teacher(group, arm.text) for group in groups]
            cells = "".join(f" | {unseen:.1%} | " for _, unseen in measured)
            rows.append(f"| the teachers of {name} | | {arm.text} | {measured[0][0]:.1%}{cells} | | |")
    return rows


def _line(records: Sequence[ArmRecord], world: BeetleWorld, groups: Sequence[str]) -> str:
    arm = HARDER_ARMS[records[0]["arm"]]
    seen = [part["accuracy"] for one in records if (part := one["groups"][groups[0]]["id"]) is not None]
    student = arm.config(0).student
    cells = [f"{arm.name}: {arm.title}", f"{student.architecture}, {student.image_px} px", arm.text]
    cells.append(_shown(mean_of(seen)))
    for group in groups:
        mean = mean_of([value for one in records if (value := unseen_accuracy(one, group)) is not None])
        teacher = world.for_arm(arm).measured_teacher(group, arm.text)[1]
        cells += [_shown(mean), f"{mean.value / teacher:.0%}"]
    cells.append(f"{records[0]['steps']:,}")
    cells.append(f"{sum(one['seconds'] for one in records) / len(records) / 60:.1f}")
    return f"| {' | '.join(cells)} |"


def _shown(mean: Mean) -> str:
    return f"{mean.value:.1%}" + ("" if mean.half is None else f" ± {100 * mean.half:.1f}")


if __name__ == "__main__":
    sys.exit(main())
