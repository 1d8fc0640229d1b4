"""Small training runs on images of the field guide, on the CPU with one thread: losses, learning rates, final weights.

Configs are built by `resolve_train_config` from overrides with short names. The images are stored as BMP files, whose
bytes are the same for every version of the libraries; the crops of a run depend on these bytes.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from distill.cli.train_process import main as distill_main
from distill.config.loss_registry import LOSS_TERMS
from distill.config.recipes import RECIPES, resolve_train_config
from distill.data.dataset.scan import scan
from distill.data.image_index import ImageIndex
from distill.data.splits import SPLIT
from distill.pipeline import training_data
from distill.student.init_from_bundle import InitialStudent
from distill.student.model import build_student
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, bank_texts, render
from distill.training.hooks import TrainHooks
from distill.training.loader import plan_batches
from distill.training.loop import train
from distill.training.schedules import build_optimizer, set_learning_rate
from examples.fieldguide.world import Species, species, species_image
from tests.golden import files

TEACHER = files.ROOT / "examples" / "fieldguide" / "teacher"
NUM_SPECIES, NUM_ID, NUM_IMAGES = 6, 3, 8
CAPTIONED = 5
"""Number of images of each species that have a caption."""

TINY: Mapping[str, Any] = {
    "student": "test_resnet",
    "image_px": 32,
    "epochs": 3,
    "passes_per_epoch": 1,
    "batch_size": 8,
    "device": "cpu",
    "threads": 1,
    "num_workers": 1,
    "seed": 7,
}
TINY_VIT: Mapping[str, Any] = {**TINY, "student": "test_vit"}

RATES = 60
"""Approximate number of learning rates that are recorded for a full recipe."""
OPTIMIZER_SETTINGS = ("weight_decay", "momentum", "betas", "eps", "nesterov", "dampening", "amsgrad")

# The recipes whose student is a vision transformer.
VIT_RECIPES = frozenset({"li2023_vit", "li2023_vit_5shot", "li2023_vit_improved"})
SMALL_RATES: Mapping[str, float] = {"li2023_resnet": 0.00001}
"""Learning rates of runs of recipes that are chaotic with a tiny student: at the published rate, the last bit of a
product of another processor is a tenth of the loss after three steps. The published rates are in `whole recipes`."""
# The recipes that fine-tune an initial student.
FEW_SHOT_RECIPES = frozenset({"li2023_resnet_5shot", "li2023_vit_5shot"})

FIRST_TERMS = ("cls", "mse", "im_cst", "vlalign", "cap", "queue_kl", "icl", "fd", "affinity", "neighbour", "unseen")
"""The terms of the variant `every term`; terms that came later are recorded alone."""

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "accumulate": {"accumulate": 2},
    "average ema": {"average": "ema", "ema_decay": 0.5, "average_from": 0.2},
    "context tokens": {"context_tokens": 2},
    "every term": {
        "losses": {name: float(name in FIRST_TERMS) for name in LOSS_TERMS}, "queue_size": 16, "vlalign_top_k": 2,
    },
    "image contrast one way": {"losses": {"im_cst": 1}, "im_cst_mode": "image_to_teacher", "temperature": 0.2},
    "mse unnormalised": {"losses": {"mse": 1}, "mse_form": "unnormalised"},
    "one augmentation a batch": {
        "view": "center", "augmentation": {"per": "batch", "rand_ops": 2, "rand_magnitude": 9, "flip": False},
    },
    "one cycle by step": {"optimizer": "sgd", "lr": 0.01, "schedule": "one_cycle", "one_cycle_per": "step"},
    "retrieval": {"protocol": "retrieval", "shots": 2},
    "steps with a warm-up": {"optimizer": "sgd", "lr": 0.01, "schedule": "step", "milestones": [1, 2], "warmup": 0.5},
    "view center": {"view": "center"},
    "view live": {"view": "live"},
    "view squash": {"view": "squash"},
}  # fmt: skip
"""Variants of the recipe `limbeck-small`."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The inputs of every run of this module."""

    folder: Path
    chosen: tuple[Species, ...]
    image_index: ImageIndex
    teacher: Teacher
    targets: TextTargets

    @property
    def cache(self) -> Path:
        return self.folder / "cache"


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit torch to one thread during the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chosen_species() -> tuple[Species, ...]:
    """The species of the small data set; the first `NUM_ID` are the ID labels."""
    return tuple(species("train")[:NUM_SPECIES])


def write_images(root: Path) -> None:
    """Write the images of the chosen species as class folders, and a caption set."""
    captions: dict[str, str] = {}
    for one in chosen_species():
        (root / one.folder).mkdir(parents=True)
        for number in range(NUM_IMAGES):
            path = f"{one.folder}/{number:04d}.bmp"
            # Half of the images are not square, so that the views `center` and `squash` differ.
            pixels = species_image(one, number, seed=0)[: 48 if number % 2 else 64]
            Image.fromarray(pixels).save(root / path)
            if number < CAPTIONED:
                captions[path] = one.sentence
    (root / "captions.json").write_text(json.dumps(captions), encoding="utf-8")


def split_by_list() -> dict[str, Any]:
    """The split of the chosen species."""
    names = [one.name for one in chosen_species()]
    return {"by": "list", "id": names[:NUM_ID], "ood": names[NUM_ID:], "held_out": 0.25}


def prepare(folder: Path) -> Setting:
    """Write the images to `folder`, and load the field guide's teacher."""
    chosen = chosen_species()
    write_images(folder / "images")
    labels = [one.name for one in chosen]
    image_index = scan(folder / "images", labels, SPLIT.validate_python(split_by_list()))
    teacher = load_teacher(f"local-dir:{TEACHER}")
    texts = [render("sentence", one.name, LabelAttributes(sentence=one.sentence)) for one in chosen]
    return Setting(
        folder=folder,
        chosen=chosen,
        image_index=image_index,
        teacher=teacher,
        targets=encode_text_targets(teacher, texts, cache=None),
    )


def steps_of(
    setting: Setting, recipe: str, overrides: Mapping[str, Any], *, start: InitialStudent | None = None
) -> list[Any]:
    """The learning rate, the loss and each loss term of every step of a run."""
    config = resolve_train_config(recipe, overrides)
    phrases = [bank_texts(one.name, _attributes(one)) for one in setting.chosen]
    data = training_data(
        config, setting.image_index, setting.teacher, setting.targets, cache=setting.cache, phrases=phrases
    )
    steps: list[Any] = []
    train(
        config,
        data,
        initial_student=start,
        hooks=TrainHooks(
            on_step=lambda made: steps.append({"lr": made.lr, "loss": made.loss, "losses": dict(made.losses)})
        ),
    )
    return steps


def _attributes(one: Species) -> LabelAttributes:
    return LabelAttributes(one.sentence, tuple(entry["phrase"] for entry in one.phrases))


def recipe_steps(setting: Setting, recipe: str) -> list[Any]:
    """The steps of a recipe with a tiny student."""
    tiny = dict(TINY_VIT if recipe in VIT_RECIPES else TINY)
    if recipe in SMALL_RATES:
        tiny["lr"] = SMALL_RATES[recipe]
    start = None
    if recipe in FEW_SHOT_RECIPES:
        student = build_student(tiny["student"], width=setting.teacher.width, image_px=tiny["image_px"], seed=3)
        start = InitialStudent(weights=student.model.state_dict(), context=None, digest="of a start")
    return steps_of(setting, recipe, tiny, start=start)


def term_steps(setting: Setting, term: str) -> list[Any]:
    """The steps of the recipe `limbeck-small` with only this loss term."""
    losses = {name: float(name == term) for name in LOSS_TERMS}
    protocol = {"protocol": "closed_set"} if term == "closed_set" else {}
    return steps_of(setting, "limbeck-small", {**TINY, **protocol, "queue_size": 16, "losses": losses})


def variant_steps(setting: Setting, variant: str) -> list[Any]:
    """The steps of a variant of the recipe `limbeck-small`."""
    return steps_of(setting, "limbeck-small", {**TINY, **VARIANTS[variant]})


KINDS: Mapping[str, tuple[Callable[[Setting, str], list[Any]], tuple[str, ...]]] = {
    "recipes": (recipe_steps, tuple(RECIPES)),
    "terms": (term_steps, tuple(LOSS_TERMS)),
    "variants": (variant_steps, tuple(VARIANTS)),
}
"""Kind of run → the function that executes a run, and the names of the runs."""


def whole_recipe(recipe: str, num_images: int = 1000) -> dict[str, Any]:
    """The batch plan, optimizer and learning rates of an unchanged recipe for `num_images` images."""
    config = resolve_train_config(recipe, {})
    num_few = 50 if recipe in FEW_SHOT_RECIPES else 0
    steps = plan_batches(config, num_images, num_few=num_few)
    optimizer = build_optimizer(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)), config.optimizer)
    every = max(1, steps.total_steps // RATES)
    rates = {
        str(step): set_learning_rate(optimizer, config, step=step, steps_per_epoch=steps.steps_per_epoch)
        for step in sorted({*range(0, steps.total_steps, every), steps.total_steps - 1})
    }
    groups = [
        {name: value for name, value in group.items() if name in OPTIMIZER_SETTINGS} for group in optimizer.param_groups
    ]
    return {
        "plan": [steps.batch_size, steps.steps_per_pass, steps.steps_per_epoch, steps.total_steps],
        "share": [steps.split.few, steps.split.others],
        "optimizer": type(optimizer).__name__,
        "groups": groups,
        "rates": rates,
    }


def recipe_fields(recipe: str) -> dict[str, Any]:
    """Every field of a recipe, as overrides for `resolve_train_config`."""
    fields: dict[str, Any] = resolve_train_config(recipe, {}).model_dump(mode="json")
    return fields


def losses(folder: Path) -> dict[str, Any]:
    """The content of `losses.json`."""
    with one_thread():
        setting = prepare(folder)
        whole = {recipe: whole_recipe(recipe) for recipe in RECIPES}
        fields = {recipe: recipe_fields(recipe) for recipe in RECIPES}
        return {"machine": files.machine(), "whole recipes": whole, "recipe fields": fields} | {
            kind: {name: steps(setting, name) for name in names} for kind, (steps, names) in KINDS.items()
        }


def tensor_digests(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """sha256 of the dtype, shape and bytes of each tensor, in the order of the names."""
    return {name: _tensor_digest(tensors[name]) for name in sorted(tensors)}


def _tensor_digest(tensor: Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


WEIGHT_RUNS: Mapping[str, tuple[str, ...]] = {
    "limbeck": (),
    "limbeck, averaged": ("average=ema", "ema_decay=0.5"),
}
"""Name of a run → the fields of the recipe `limbeck-small` that it sets."""


def whole_run(folder: Path, fields: tuple[str, ...]) -> dict[str, Any]:
    """A run of `python -m distill` in this process: digests of tensors, losses, accuracies and files."""
    chosen = chosen_species()
    if not (folder / "images").exists():
        write_images(folder / "images")
        (folder / "labels.txt").write_text("".join(f"{one.name}\n" for one in chosen), encoding="utf-8")
        phrases = {one.name: [phrase["phrase"] for phrase in one.phrases] for one in chosen}
        (folder / "set.json").write_text(json.dumps(phrases), encoding="utf-8")
    out = folder / hashlib.sha256(repr(fields).encode()).hexdigest()[:8]
    tiny = [f"{name}={value}" for name, value in {**TINY, "epochs": 2}.items() if name != "student"]
    words = [
        *("--images", str(folder / "images"), "--labels", str(folder / "labels.txt")),
        *("--attributes", str(folder / "set.json"), "--text", "phrases", "--teacher", f"local-dir:{TEACHER}"),
        *("--split", json.dumps(split_by_list()), "--student", str(TINY["student"]), "--recipe", "limbeck-small"),
        *("--out", str(out), "--cache", str(folder / "cache"), "--set", "onnx=false"),
        *(word for one in (*tiny, *fields) for word in ("--set", one)),
    ]
    output = StringIO()
    with one_thread(), redirect_stdout(output), redirect_stderr(output):
        code = distill_main(words)
    assert code == 0, output.getvalue()
    bundle = out / "bundle"
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    log = [json.loads(line) for line in (bundle / "training.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "tensors": {
            path.relative_to(bundle).as_posix(): tensor_digests(load_file(path))
            for path in sorted(bundle.rglob("*.safetensors"))
        },
        "losses": [{"step": line["step"], "loss": line["loss"], "lr": line["lr"]} for line in log if "loss" in line],
        "accuracies": {
            "student": [report["student"][part]["accuracy"] for part in ("id", "ood")],
            "teacher": [[one[part]["accuracy"] for part in ("id", "ood")] for one in report["teacher"]],
        },
        "files": sorted(path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()),
    }


def weights(folder: Path) -> dict[str, Any]:
    """The content of `weights.json`."""
    return {
        "machine": files.machine(),
        "runs": {name: whole_run(folder, fields) for name, fields in WEIGHT_RUNS.items()},
    }


def differences(found: Any, golden: Any, *, rel: float, at: str = "") -> list[str]:
    """The differences between two nested values; numbers may differ by the relative tolerance `rel`."""
    if isinstance(golden, dict) and isinstance(found, dict):
        if found.keys() != golden.keys():
            return [f"{at}: keys {sorted(found)}, not {sorted(golden)}"]
        return [text for key in golden for text in differences(found[key], golden[key], rel=rel, at=f"{at}/{key}")]
    if isinstance(golden, list) and isinstance(found, list):
        if len(found) != len(golden):
            return [f"{at}: {len(found)} items, not {len(golden)}"]
        pairs = enumerate(zip(found, golden, strict=True))
        return [text for place, (one, its) in pairs for text in differences(one, its, rel=rel, at=f"{at}/{place}")]
    if isinstance(golden, float | int) and isinstance(found, float | int):
        same = math.isclose(found, golden, rel_tol=rel, abs_tol=rel * 1e-2)
    else:
        same = found == golden
    return [] if same else [f"{at}: {found}, not {golden}"]
