"""How fast distilling is, each figure beside what it is compared with, in one run: `python -m benchmarks.distill`.

    make bench-distill
    python -m benchmarks.distill --only step,texts --steps 6 --images 500

Everything is made up here: pictures of noise, a teacher with random weights. What is compared runs in turns. Of loops
the best is told, for the rest of the machine is no part of it. Of steps a bare one follows each of ours, and the median
ratio of such neighbours is told. This process has the environment of one that trains
(`distill.training.process_environment`), the plain loop the one that was given. A row that needs a GPU says so where
there is none; the exit code is 1 where a target is missed.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks import load, plain
from distill.config.recipes import resolve_train_config, variant
from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints
from distill.data.decoded_images import decode_images
from distill.evaluation.accuracy import evaluate
from distill.hooks import PipelineHooks
from distill.student.features import BATCH_SIZE, student_features
from distill.student.model import build_student
from distill.training.hooks import TrainHooks
from distill.training.loader import TrainData
from distill.training.loop import train
from distill.training.objective import Objective, ObjectiveInputs
from distill.training.process_environment import MALLOC_SETTINGS, restart_with_environment
from distill.training.schedules import build_optimizer

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
NUM_LABELS, WIDTH = 100, 512
WARM_UP = 2
ROUNDS = 3
STEPS_IN_TURNS = 5  # times the steps of a loop: single steps scatter more than means do
PICTURE_SIZE = (500, 375)


@dataclass(frozen=True)
class Figure:
    """One measurement against its target; `ok` is None for a row that was skipped."""

    what: str
    target: str
    measured: str
    ok: bool | None


@dataclass(frozen=True)
class BenchmarkSizes:
    """How much of everything: `images` JPEGs, `steps` of a loop, `prompts`, images `evaluated`, images `registered`."""

    images: int
    steps: int
    batch: int
    prompts: int
    evaluated: int
    registered: int


class _Enough(Exception):
    """A loop was timed for as long as asked."""


def config(asked: BenchmarkSizes, **changes: Any) -> TrainConfig:
    """ResNet-18 at 224 as published, with the three terms of the plain loop, for more steps than any loop makes."""
    given = {
        "batch_size": asked.batch,
        "passes_per_epoch": 1,
        "epochs": 10_000,
        "measured_epochs": 0,
        "losses": {"vlalign": 0.0},
        "save_every_s": 3600,
        "device": DEVICE.type,
    }
    return resolve_train_config("li2023_resnet", given | changes)


def made_up(pixels: Any, num_images: int, *, width: int = WIDTH, num_labels: int = NUM_LABELS) -> TrainData:
    """Random teacher features and texts for pictures."""
    random = torch.Generator().manual_seed(0)
    return TrainData(
        pixels=pixels,
        labels=np.arange(num_images, dtype=np.int64) % num_labels,
        teacher=torch.randn(num_images, 1, width, generator=random),
        texts=torch.randn(num_labels, width, generator=random),
        usable=np.arange(num_images, dtype=np.int64),
        digests={},
    )


def our_loop(given: TrainConfig, data: TrainData, steps: int) -> tuple[float, float]:
    """Seconds a step of `train`, and the share of them spent waiting for data."""
    at: list[float] = []
    waits: list[float] = []

    def on_step(metrics: Any) -> None:
        at.append(time.perf_counter())
        waits.append(metrics.data_wait)
        if len(at) == WARM_UP + steps:
            raise _Enough

    with suppress(_Enough):
        train(given, data, hooks=TrainHooks(on_step=on_step))
    return (at[-1] - at[WARM_UP - 1]) / steps, waits[-1]


def bare_step(given: TrainConfig, data: TrainData) -> Callable[[], None]:
    """Forward, objective, backward and optimiser alone, on one batch that is there already."""
    student = build_student(
        given.student.architecture, width=data.texts.shape[1], image_px=given.student.image_px, seed=0
    )
    model = student.model.to(DEVICE, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    objective = Objective(given, width=student.width).to(DEVICE)
    optimizer = build_optimizer(model, given.optimizer)
    batch = given.schedule.batch_size
    side_px = given.student.image_px
    images = torch.randn(batch, 3, side_px, side_px, device=DEVICE)
    images = images.contiguous(memory_format=torch.channels_last)
    told = ObjectiveInputs(
        student=images,
        teacher=data.teacher[:batch, 0].to(DEVICE),
        texts=data.texts.to(DEVICE),
        labels=torch.from_numpy(data.labels[:batch]).to(DEVICE),
    )

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=given.system.precision == "bfloat16"):
            features = model(images)
        loss = objective.total(objective(ObjectiveInputs(**{**vars(told), "student": features})))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def bare_loop(given: TrainConfig, data: TrainData, steps: int) -> float:
    """Seconds a bare step."""
    step, took = bare_step(given, data), 0.0
    for at in range(WARM_UP + steps):
        if at == WARM_UP:
            _settle()
            took = time.perf_counter()
        step()
    _settle()
    return (time.perf_counter() - took) / steps


def in_turns(given: TrainConfig, data: TrainData, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each step of `train`, and of a bare one after each, so that what else the machine does meets both."""
    ours, bares, step = list[float](), list[float](), bare_step(given, data)
    began = time.perf_counter()

    def on_step(_: Any) -> None:
        nonlocal began
        _settle()
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        step()
        _settle()
        bares.append(time.perf_counter() - began)
        began = time.perf_counter()
        if len(ours) == WARM_UP + steps:
            raise _Enough

    with suppress(_Enough):
        train(given, data, hooks=TrainHooks(on_step=on_step))
    return ours[WARM_UP:], bares[WARM_UP:]


def _settle() -> None:
    if CUDA:
        torch.cuda.synchronize()


def jpegs(folder: Path, count: int) -> list[Path]:
    """Pictures of 500 x 375 with as much detail as photographs have (some 60 kB each)."""
    random, paths = np.random.default_rng(0), []
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(PICTURE_SIZE, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = random.integers(-24, 25, (PICTURE_SIZE[1], PICTURE_SIZE[0], 1), dtype=np.int16)
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(paths[-1], quality=85)
    return paths


def plain_loop(asked: BenchmarkSizes, folder: Path) -> float:
    """Seconds a step of the plain loop over the pictures in a folder, in a process as people start it: what ours have
    in their environment (`distill.training.process_environment`) is not in it."""
    environment = {name: value for name, value in os.environ.items() if name not in MALLOC_SETTINGS}
    command = [sys.executable, "-m", "benchmarks.distill", "--plain", str(folder), "--steps", str(asked.steps)]
    command += ["--batch", str(asked.batch)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(told.stdout)


def run_plain_loop(asked: BenchmarkSizes, folder: Path) -> float:
    """The same, in this process."""
    paths = sorted(folder.glob("*.jpg"))
    data = made_up(None, len(paths))
    ticks = list(
        plain.epochs(
            config(asked),
            paths,
            data.labels,
            data.teacher[:, 0],
            data.texts,
            steps=WARM_UP + asked.steps,
            device=DEVICE,
        )
    )
    return (ticks[-1] - ticks[WARM_UP - 1]) / asked.steps


def step_row(asked: BenchmarkSizes) -> Iterator[Figure]:
    """Our step against the bare one, ResNet-18 at 224."""
    given = config(asked)
    pixels = np.random.default_rng(0).integers(0, 256, (4 * asked.batch, 256, 256, 3), dtype=np.uint8)
    data = made_up(pixels, len(pixels))
    ours, bares = in_turns(given, data, STEPS_IN_TURNS * asked.steps)
    share = statistics.median(bare / own for bare, own in zip(bares, ours, strict=True))
    rates = [asked.batch / statistics.median(each) for each in (ours, bares)]
    yield Figure(
        "our step against the bare step",
        "≥ 0.95 ×",
        f"{share:.3f} × ({rates[0]:.1f} and {rates[1]:.1f} images/s)",
        share >= 0.95,
    )


def loop_row(asked: BenchmarkSizes) -> Iterator[Figure]:
    """Images/s against the plain loop, from JPEGs, our cache warm; and what warming it took."""
    given = config(asked)
    with tempfile.TemporaryDirectory() as scratch:
        paths = jpegs(Path(scratch), asked.images)
        started = time.perf_counter()
        pack = decode_images(paths, 256, cache=Path(scratch) / "cache", num_workers=given.system.num_workers)
        decoded = asked.images / (time.perf_counter() - started)
        data = made_up(pack.pixels, len(paths))
        theirs, ours, waits = [], [], []
        for _ in range(ROUNDS):
            theirs.append(plain_loop(asked, Path(scratch)))
            seconds, wait = our_loop(given, data, asked.steps)
            ours.append(seconds)
            waits.append(wait)
    ratio, target = min(theirs) / min(ours), 10.0 if CUDA else 1.3
    rates = [asked.batch / min(each) for each in (ours, theirs)]
    yield Figure(
        f"images/s against the plain loop, {asked.images:,} JPEGs",
        f"≥ {target:g} ×",
        f"{ratio:.2f} × ({rates[0]:.1f} and {rates[1]:.1f} images/s; cache filled once at {decoded:.0f} images/s)",
        ratio >= target,
    )


def gpu_row(asked: BenchmarkSizes) -> Iterator[Figure]:
    """ResNet-18 at 224 in bfloat16 from a warm cache: share of the bare step, images/s, wait for data."""
    what, target = "ResNet-18 at 224, bfloat16, warm cache", "≥ 0.9 × bare, 10,000 images/s, wait < 10%"
    if not CUDA:
        yield Figure(what, target, "skipped: no GPU", None)
        return
    given = config(asked, batch_size=256, precision="bfloat16")
    pixels = np.random.default_rng(0).integers(0, 256, (4096, 256, 256, 3), dtype=np.uint8)
    data, steps = made_up(pixels, len(pixels)), 200
    bare = bare_loop(given, data, steps)
    ours, wait = our_loop(given, data, steps)
    rate = 256 / ours
    ok = bare / ours >= 0.9 and rate >= 10_000 and wait < 0.1
    yield Figure(what, target, f"{bare / ours:.2f} ×, {rate:,.0f} images/s, wait {wait:.1%}", ok)


def teacher_row(asked: BenchmarkSizes) -> Iterator[Figure]:
    """An epoch with cached teacher features against the teacher live (ViT-L/14, random weights)."""
    from distill.teacher.view_features import LiveTeacher

    batch = asked.batch if CUDA else min(asked.batch, 16)
    given = config(asked, batch_size=batch)
    pixels = np.random.default_rng(0).integers(0, 256, (4 * batch, 256, 256, 3), dtype=np.uint8)
    steps = asked.steps if CUDA else max(2, asked.steps // 3)
    with random_teacher("ViT-L-14") as teacher:
        data = made_up(pixels, len(pixels), width=teacher.width)
        live = replace(data, live=LiveTeacher(teacher, pixels), teacher=torch.zeros(len(pixels), 0, teacher.width))
        cached_s = our_loop(given, data, steps)[0]
        live_s = our_loop(variant(given, view="live"), live, steps)[0]
    yield Figure(
        "an epoch with cached teacher features against a live ViT-L/14",
        "≥ 4 ×",
        f"{live_s / cached_s:.1f} × ({batch / cached_s:.1f} and {batch / live_s:.1f} images/s)",
        live_s / cached_s >= 4,
    )


def texts_row(asked: BenchmarkSizes) -> Iterator[Figure]:
    """Teacher text targets against a plain batched loop, and how far their features are apart."""
    import open_clip

    from distill.texts.text_targets import encode_text_targets

    name = "ViT-L-14" if CUDA else "ViT-B-32"
    prompts = described(asked.prompts * 50 if CUDA else asked.prompts)
    with random_teacher(name) as teacher:
        model: Any = teacher._model
        tokenize = open_clip.get_tokenizer(name)
        warm = prompts[: min(64, len(prompts))]
        encode_text_targets(teacher, [[text] for text in warm], cache=None)
        plain.text_features(model, lambda texts: tokenize(texts).to(DEVICE), warm)
        started = time.perf_counter()
        ours = encode_text_targets(teacher, [[text] for text in prompts], cache=None).features
        middle = time.perf_counter()
        theirs = plain.text_features(model, lambda texts: tokenize(texts).to(DEVICE), prompts)
        _settle()
        took = middle - started, time.perf_counter() - middle
    apart = float((ours - theirs.cpu()).abs().max())
    yield Figure(
        f"text targets against a plain loop, {len(prompts):,} prompts, {name}",
        "≥ 1.5 ×, within 1e-5",
        f"{took[1] / took[0]:.2f} × ({len(prompts) / took[0]:.0f} and {len(prompts) / took[1]:.0f} prompts/s), "
        f"{apart:.0e} apart",
        took[1] / took[0] >= 1.5 and apart <= 1e-5,
    )


@contextmanager
def random_teacher(name: str) -> Iterator[Any]:
    """A teacher of open_clip's architecture with random weights."""
    import json

    import open_clip
    from safetensors.torch import save_file

    from distill.teacher.teacher import load_teacher

    with tempfile.TemporaryDirectory() as scratch:
        torch.manual_seed(0)
        model = open_clip.create_model(name, pretrained=None)
        save_file(
            {key: value.contiguous().clone() for key, value in model.state_dict().items()},
            Path(scratch) / "open_clip_model.safetensors",
        )
        said = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
        Path(scratch, "open_clip_config.json").write_text(json.dumps(said))
        del model
        yield load_teacher(f"local-dir:{scratch}", device=DEVICE.type)


def described(count: int) -> list[str]:
    """Prompts as an enriched vocabulary has them: a name and a sentence of 23 to 33 words, a tenth of them repeats."""
    random = np.random.default_rng(0)
    words = "grey", "long", "slender", "curved", "yellow", "bill", "tail", "crown", "pale", "with", "and", "a", "its"
    prompts = [
        f"a photo of species {number} . {' '.join(random.choice(words, int(random.integers(23, 34))))}."
        for number in range(count - count // 10)
    ]
    return [*prompts, *prompts[: count // 10]]


def evaluation_row(asked: BenchmarkSizes) -> Iterator[Figure]:
    """Evaluation of images among 1,000 labels against the student's bare forward pass, a batch of each in turns."""
    student = build_student("resnet10t", width=WIDTH, image_px=64, seed=0)
    pool = np.random.default_rng(0).integers(0, 256, (2048, 64, 64, 3), dtype=np.uint8)
    rows: Ints = np.arange(asked.evaluated, dtype=np.int64) % len(pool)
    labels, targets = np.arange(asked.evaluated) % 1000, torch.randn(1000, WIDTH)
    model = student.model.to(DEVICE, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    batch = torch.randn(BATCH_SIZE, 3, 64, 64, device=DEVICE).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            model(batch)
    _settle()
    ours, bare, before, began = 0.0, 0.0, 0, time.perf_counter()

    def on_progress(done: int, _total: int, _unit: str) -> None:
        nonlocal ours, bare, before, began
        _settle()
        halfway = time.perf_counter()
        model(batch[: done - before])
        _settle()
        ended = time.perf_counter()
        ours, bare, before, began = ours + halfway - began, bare + ended - halfway, done, ended

    features = student_features(student, pool, rows, device=DEVICE, hooks=PipelineHooks(on_progress=on_progress))
    started = time.perf_counter()
    evaluate(
        "names",
        features,
        labels,
        targets,
        names=[f"label {at}" for at in range(1000)],
        id_labels=range(500),
        ood_labels=range(500, 1000),
    )
    ours += time.perf_counter() - started
    yield Figure(
        f"evaluation, {asked.evaluated:,} images × 1,000 labels, resnet10t at 64",
        "≥ 0.9 × the forward",
        f"{bare / ours:.2f} × ({asked.evaluated / ours:,.0f} and {asked.evaluated / bare:,.0f} images/s)",
        bare / ours >= 0.9,
    )


REGISTER = """
import sys, time
from pathlib import Path
from distill.data.image_index import scan
from distill.data.splits import SPLIT
started = time.perf_counter()
root = Path(sys.argv[1])
image_index = scan(root, sorted(folder.name for folder in root.iterdir()), SPLIT.validate_python({"by": "seed"}))
counts = image_index.counts
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(len(image_index), int(peak.split()[1]) / 1e6, time.perf_counter() - started)
"""


def memory_row(asked: BenchmarkSizes) -> Iterator[Figure]:
    """Memory of a process that registers a folder of images, at its peak."""
    with tempfile.TemporaryDirectory() as scratch:
        for label in range(1000):
            folder = Path(scratch, f"label_{label:04d}")
            folder.mkdir()
            for number in range(asked.registered // 1000):
                (folder / f"image_{number:07d}.jpg").touch()
        told = subprocess.run([sys.executable, "-c", REGISTER, scratch], capture_output=True, text=True, check=True)
    count, peak, seconds = told.stdout.split()
    yield Figure(
        f"memory, {int(count):,} images registered",
        "< 2 GB",
        f"{float(peak):.2f} GB, {float(seconds):.0f} s",
        float(peak) < 2,
    )


ROWS: dict[str, Callable[[BenchmarkSizes], Iterator[Figure]]] = {
    "step": step_row,
    "loop": loop_row,
    "gpu": gpu_row,
    "teacher": teacher_row,
    "texts": texts_row,
    "evaluation": evaluation_row,
    "memory": memory_row,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(ROWS), help=f"rows, of {', '.join(ROWS)}")
    parser.add_argument("--images", type=int, default=2000, help="JPEGs of 500 × 375")
    parser.add_argument("--steps", type=int, default=50 if CUDA else 4, help="steps that a loop is timed for")
    parser.add_argument("--batch", type=int, default=128 if CUDA else 32)
    parser.add_argument("--prompts", type=int, default=2000, help="50 times as many on a GPU")
    parser.add_argument("--evaluated", type=int, default=50_000)
    parser.add_argument("--registered", type=int, default=1_000_000)
    parser.add_argument("--plain", type=Path, metavar="FOLDER", help="the plain loop alone, over a folder's pictures")
    given = vars(parser.parse_args(arguments))
    names, folder = given.pop("only").split(","), given.pop("plain")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f'no row is called "{unknown[0]}"; there are {", ".join(ROWS)}')
    asked = BenchmarkSizes(**given)
    if folder is not None:
        print(run_plain_loop(asked, folder))
        return 0
    where = torch.cuda.get_device_name() if CUDA else load.machine()
    title = f"{where}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    table, console = Table("", "to reach", "measured", "", title=title, title_justify="left"), Console(width=160)
    missed = 0
    for name in names:
        for figure in ROWS[name](asked):
            said = {True: "ok", False: "MISSED", None: ""}[figure.ok]
            console.print(f"[dim]{figure.what}: {figure.measured} {said}[/]", highlight=False)
            table.add_row(figure.what, figure.target, figure.measured, said)
            missed += figure.ok is False
    console.print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    if "--plain" not in sys.argv:
        restart_with_environment()
    sys.exit(main())
