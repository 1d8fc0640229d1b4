"""Speed of distillation, each measurement relative to a baseline in the same run: `python -m benchmarks.distill`.

    make bench-distill
    python -m benchmarks.distill --only step,texts --steps 6 --images 500

All inputs are synthetic: images of noise, a teacher with random weights. The two sides of a comparison alternate. For
loops, the best of several runs counts, to exclude other load on the machine. For steps, a bare step follows each of our
steps, and the median of the ratios counts. This process has the environment of a training process
(`distill.training.process_environment`); the plain loop has the original environment. Rows that need a GPU are skipped
without one. The exit code is 1 if a target is missed.
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
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks import load, plain
from benchmarks.measurement import Measurement
from distill.config.recipes import resolve_train_config, variant
from distill.config.train_config import TrainConfig
from distill.data.counter_rng import Ints
from distill.data.decoded_images import PixelRows, decode_images, train_size
from distill.evaluation.accuracy import evaluate
from distill.hooks import PipelineHooks
from distill.student.features import BATCH_SIZE, student_features
from distill.student.model import build_student, configured_student
from distill.training.hooks import TrainHooks
from distill.training.loader import TrainData
from distill.training.loop import train
from distill.training.metrics import StepMetrics
from distill.training.objective import Objective, ObjectiveInputs
from distill.training.process_environment import MALLOC_SETTINGS, run_training_process, unblock_stop_signals
from distill.training.schedules import build_optimizer

if TYPE_CHECKING:
    from distill.teacher.teacher import Teacher

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
NUM_LABELS, WIDTH = 100, 512
WARM_UP = 2
ROUNDS = 3
STEP_FACTOR = 5  # times the steps of a loop: single steps vary more than means do


@dataclass(frozen=True)
class BenchmarkSizes:
    """Sizes of the benchmarks: JPEGs, timed steps of a loop, batch, prompts, evaluated images, indexed images, the
    longer side of the JPEGs, and the student's pixels and precision."""

    images: int
    steps: int
    batch: int
    prompts: int
    evaluated: int
    registered: int
    jpeg_px: int = 500
    image_px: int = 224
    precision: str = "float32"


class _EnoughSteps(Exception):
    """Ends a training loop after the timed steps."""


def config(sizes: BenchmarkSizes, **changes: object) -> TrainConfig:
    """ResNet-18 as published, with the three loss terms of the plain loop and practically unlimited steps."""
    settings = {
        "image_px": sizes.image_px,
        "precision": sizes.precision,
        "batch_size": sizes.batch,
        "passes_per_epoch": 1,
        "epochs": 10_000,
        "measured_epochs": 0,
        "losses": {"vlalign": 0.0},
        "save_every_s": 3600,
        "device": DEVICE.type,
    }
    return resolve_train_config("li2023_resnet", settings | changes)


def synthetic_data(
    pixels: PixelRows, num_images: int, *, width: int = WIDTH, num_labels: int = NUM_LABELS
) -> TrainData:
    """Training data with random teacher features and text features."""
    random = torch.Generator().manual_seed(0)
    return TrainData(
        pixels=pixels,
        labels=np.arange(num_images, dtype=np.int64) % num_labels,
        teacher=torch.randn(num_images, 1, width, generator=random),
        texts=torch.randn(num_labels, width, generator=random),
        usable=np.arange(num_images, dtype=np.int64),
        digests={},
    )


def time_loop(train_config: TrainConfig, data: TrainData, steps: int) -> tuple[float, float]:
    """Seconds per step of `train`, and the share of it spent waiting for data."""
    ticks: list[float] = []
    waits: list[float] = []

    def on_step(metrics: StepMetrics) -> None:
        ticks.append(time.perf_counter())
        waits.append(metrics.data_wait)
        if len(ticks) == WARM_UP + steps:
            raise _EnoughSteps

    with suppress(_EnoughSteps):
        train(train_config, data, hooks=TrainHooks(on_step=on_step))
    return (ticks[-1] - ticks[WARM_UP - 1]) / steps, waits[-1]


def bare_step(train_config: TrainConfig, data: TrainData) -> Callable[[], None]:
    """A step of forward, objective, backward and optimizer only, on one batch that is already on the device."""
    student = configured_student(train_config.student, width=data.texts.shape[1], seed=0)
    model = student.model.to(DEVICE, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    objective = Objective(train_config, width=student.width).to(DEVICE)
    optimizer = build_optimizer(model, train_config.optimizer)
    batch = train_config.schedule.batch_size
    images = torch.randn(batch, student.num_channels, *student.size, device=DEVICE)
    images = images.contiguous(memory_format=torch.channels_last)
    inputs = ObjectiveInputs(
        student=images,
        teacher=data.teacher[:batch, 0].to(DEVICE),
        texts=data.texts.to(DEVICE),
        labels=torch.from_numpy(data.labels[:batch]).to(DEVICE),
    )

    def step() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=train_config.system.precision == "bfloat16"):
            features = model(images)
        loss = objective.total(objective(replace(inputs, student=features)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def time_bare_loop(train_config: TrainConfig, data: TrainData, steps: int) -> float:
    """Seconds per bare step."""
    step, start = bare_step(train_config, data), 0.0
    for number in range(WARM_UP + steps):
        if number == WARM_UP:
            _synchronize()
            start = time.perf_counter()
        step()
    _synchronize()
    return (time.perf_counter() - start) / steps


def time_alternating(train_config: TrainConfig, data: TrainData, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each step of `train`, and of a bare step after each, so that other load affects both alike."""
    ours, bare, step = list[float](), list[float](), bare_step(train_config, data)
    start = time.perf_counter()

    def on_step(_: StepMetrics) -> None:
        nonlocal start
        _synchronize()
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        step()
        _synchronize()
        bare.append(time.perf_counter() - start)
        start = time.perf_counter()
        if len(ours) == WARM_UP + steps:
            raise _EnoughSteps

    with suppress(_EnoughSteps):
        train(train_config, data, hooks=TrainHooks(on_step=on_step))
    return ours[WARM_UP:], bare[WARM_UP:]


def _synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def write_jpegs(folder: Path, count: int, side: int) -> list[Path]:
    """Write JPEGs with as much detail as photographs (about 60 kB each for 500 x 375)."""
    random, paths, size = np.random.default_rng(0), [], (side, side * 3 // 4)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.int16)
        grain = random.integers(-24, 25, (size[1], size[0], 1), dtype=np.int16)
        paths.append(folder / f"{number:05d}.jpg")
        Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(paths[-1], quality=85)
    return paths


def time_plain_loop(sizes: BenchmarkSizes, folder: Path) -> float:
    """Seconds per step of the plain loop over the JPEGs of a folder, in its own process without the allocator settings
    of `distill.training.process_environment`."""
    environment = {name: value for name, value in os.environ.items() if name not in MALLOC_SETTINGS}
    command = [sys.executable, "-m", "benchmarks.distill", "--plain", str(folder), "--steps", str(sizes.steps)]
    command += ["--batch", str(sizes.batch), "--image-px", str(sizes.image_px)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(process.stdout)


def run_plain_loop(sizes: BenchmarkSizes, folder: Path) -> float:
    """Seconds per step of the plain loop, in this process."""
    paths = sorted(folder.glob("*.jpg"))
    data = synthetic_data(np.empty((0, 1, 1, 3), dtype=np.uint8), len(paths))  # this loop decodes its own images
    ticks = list(
        plain.train_steps(
            config(sizes),
            paths,
            data.labels,
            data.teacher[:, 0],
            data.texts,
            steps=WARM_UP + sizes.steps,
            device=DEVICE,
        )
    )
    return (ticks[-1] - ticks[WARM_UP - 1]) / sizes.steps


def step_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """Speed of our step relative to the bare step, ResNet-18."""
    side = train_size(sizes.image_px).height
    pixels = np.random.default_rng(0).integers(0, 256, (4 * sizes.batch, side, side, 3), dtype=np.uint8)
    data = synthetic_data(pixels, len(pixels))
    ours, bare = time_alternating(config(sizes), data, STEP_FACTOR * sizes.steps)
    ratio = statistics.median(bare_s / our_s for bare_s, our_s in zip(bare, ours, strict=True))
    rates = [sizes.batch / statistics.median(times_s) for times_s in (ours, bare)]
    yield Measurement(
        "our step, relative to the bare step",
        "≥ 0.95 ×",
        f"{ratio:.3f} × ({rates[0]:.1f} and {rates[1]:.1f} images/s)",
        ratio >= 0.95,
    )


def loop_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """Images per second relative to the plain loop, from JPEGs with our cache filled; and the speed of filling it."""
    train_config = config(sizes)
    with tempfile.TemporaryDirectory() as scratch:
        paths, side = write_jpegs(Path(scratch), sizes.images, sizes.jpeg_px), train_size(sizes.image_px)
        start = time.perf_counter()
        pack = decode_images(paths, side, cache=Path(scratch) / "cache", num_workers=train_config.system.num_workers)
        decoded_per_s = sizes.images / (time.perf_counter() - start)
        data = synthetic_data(pack.pixels, len(paths))
        theirs, ours = [], []
        for _ in range(ROUNDS):
            theirs.append(time_plain_loop(sizes, Path(scratch)))
            ours.append(time_loop(train_config, data, sizes.steps)[0])
    ratio, target = min(theirs) / min(ours), 10.0 if CUDA else 1.3
    rates = [sizes.batch / min(times_s) for times_s in (ours, theirs)]
    yield Measurement(
        f"images/s relative to the plain loop in float32, {sizes.images:,} JPEGs of {sizes.jpeg_px} px, student of "
        f"{sizes.image_px} px in {sizes.precision}",
        f"≥ {target:g} ×",
        f"{ratio:.2f} × ({rates[0]:.1f} and {rates[1]:.1f} images/s; cache filled at {decoded_per_s:.0f} images/s)",
        ratio >= target,
    )


def gpu_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """ResNet-18 at 224 px in bfloat16 from a filled cache: ratio to the bare step, images/s, time waiting for data."""
    name, target = "ResNet-18 at 224, bfloat16, filled cache", "≥ 0.9 × bare, 10,000 images/s, wait < 10%"
    if not CUDA:
        yield Measurement(name, target, "skipped: no GPU", None)
        return
    train_config = config(sizes, batch_size=256, precision="bfloat16")
    pixels = np.random.default_rng(0).integers(0, 256, (4096, 256, 256, 3), dtype=np.uint8)
    data, steps = synthetic_data(pixels, len(pixels)), 200
    bare_s = time_bare_loop(train_config, data, steps)
    our_s, wait = time_loop(train_config, data, steps)
    rate = 256 / our_s
    ok = bare_s / our_s >= 0.9 and rate >= 10_000 and wait < 0.1
    yield Measurement(name, target, f"{bare_s / our_s:.2f} ×, {rate:,.0f} images/s, wait {wait:.1%}", ok)


def teacher_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """An epoch with cached teacher features, relative to a live teacher (ViT-L/14 with random weights)."""
    from distill.teacher.views.view_features import LiveTeacher

    batch = sizes.batch if CUDA else min(sizes.batch, 16)
    train_config = config(sizes, batch_size=batch)
    pixels = np.random.default_rng(0).integers(0, 256, (4 * batch, 256, 256, 3), dtype=np.uint8)
    steps = sizes.steps if CUDA else max(2, sizes.steps // 3)
    with random_teacher("ViT-L-14") as teacher:
        data = synthetic_data(pixels, len(pixels), width=teacher.width)
        live = replace(data, live=LiveTeacher(teacher, pixels), teacher=torch.zeros(len(pixels), 0, teacher.width))
        cached_s = time_loop(train_config, data, steps)[0]
        live_s = time_loop(variant(train_config, view="live"), live, steps)[0]
    yield Measurement(
        "an epoch with cached teacher features, relative to a live ViT-L/14",
        "≥ 4 ×",
        f"{live_s / cached_s:.1f} × ({batch / cached_s:.1f} and {batch / live_s:.1f} images/s)",
        live_s / cached_s >= 4,
    )


def texts_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """Text targets of the teacher relative to a plain batched loop, and the largest difference of the features."""
    import open_clip

    from distill.texts.text_targets import encode_text_targets

    name = "ViT-L-14" if CUDA else "ViT-B-32"
    prompts = synthetic_prompts(sizes.prompts * 50 if CUDA else sizes.prompts)
    with random_teacher(name) as teacher:
        model = cast(torch.nn.Module, teacher._model)
        tokenizer = open_clip.get_tokenizer(name)

        def tokenize(texts: Sequence[str]) -> torch.Tensor:
            tokens: torch.Tensor = tokenizer(texts).to(DEVICE)
            return tokens

        warm_up = prompts[: min(64, len(prompts))]
        encode_text_targets(teacher, [[text] for text in warm_up], cache=None)
        plain.text_features(model, tokenize, warm_up)
        start = time.perf_counter()
        ours = encode_text_targets(teacher, [[text] for text in prompts], cache=None).features
        middle = time.perf_counter()
        theirs = plain.text_features(model, tokenize, prompts)
        _synchronize()
        our_s, their_s = middle - start, time.perf_counter() - middle
    difference = float((ours - theirs.cpu()).abs().max())
    yield Measurement(
        f"text targets relative to a plain loop, {len(prompts):,} prompts, {name}",
        "≥ 1.5 ×, within 1e-5",
        f"{their_s / our_s:.2f} × ({len(prompts) / our_s:.0f} and {len(prompts) / their_s:.0f} prompts/s), "
        f"difference {difference:.0e}",
        their_s / our_s >= 1.5 and difference <= 1e-5,
    )


@contextmanager
def random_teacher(name: str) -> Iterator["Teacher"]:
    """A teacher with an architecture of open_clip and random weights."""
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
        description = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": {}}
        Path(scratch, "open_clip_config.json").write_text(json.dumps(description))
        del model
        yield load_teacher(f"local-dir:{scratch}", device=DEVICE.type)


def synthetic_prompts(count: int) -> list[str]:
    """Prompts like those of an enriched vocabulary: a name and a sentence of 23 to 33 words; a tenth are repeats."""
    random = np.random.default_rng(0)
    words = "grey", "long", "slender", "curved", "yellow", "bill", "tail", "crown", "pale", "with", "and", "a", "its"
    prompts = [
        f"a photo of species {number} . {' '.join(random.choice(words, int(random.integers(23, 34))))}."
        for number in range(count - count // 10)
    ]
    return [*prompts, *prompts[: count // 10]]


def evaluation_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """Evaluation of images among 1,000 labels relative to the student's forward pass; batches of both alternate."""
    student = build_student("resnet10t", width=WIDTH, image_px=64, seed=0)
    pool = np.random.default_rng(0).integers(0, 256, (2048, 64, 64, 3), dtype=np.uint8)
    rows: Ints = np.arange(sizes.evaluated, dtype=np.int64) % len(pool)
    labels, targets = np.arange(sizes.evaluated) % 1000, torch.randn(1000, WIDTH)
    model = student.model.to(DEVICE, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    batch = torch.randn(BATCH_SIZE, 3, 64, 64, device=DEVICE).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(WARM_UP):
            model(batch)
    _synchronize()
    our_s, bare_s, num_before, start = 0.0, 0.0, 0, time.perf_counter()

    def on_progress(done: int, _total: int, _unit: str) -> None:
        nonlocal our_s, bare_s, num_before, start
        _synchronize()
        middle = time.perf_counter()
        model(batch[: done - num_before])
        _synchronize()
        end = time.perf_counter()
        our_s, bare_s, num_before, start = our_s + middle - start, bare_s + end - middle, done, end

    features = student_features(student, pool, rows, device=DEVICE, hooks=PipelineHooks(on_progress=on_progress))
    start = time.perf_counter()
    evaluate(
        "names",
        features,
        labels,
        targets,
        names=[f"label {label}" for label in range(1000)],
        id_labels=range(500),
        ood_labels=range(500, 1000),
    )
    our_s += time.perf_counter() - start
    yield Measurement(
        f"evaluation, {sizes.evaluated:,} images × 1,000 labels, resnet10t at 64",
        "≥ 0.9 × the forward",
        f"{bare_s / our_s:.2f} × ({sizes.evaluated / our_s:,.0f} and {sizes.evaluated / bare_s:,.0f} images/s)",
        bare_s / our_s >= 0.9,
    )


INDEX_IMAGES = """
import sys, time
from pathlib import Path
from distill.data.dataset.scan import scan
from distill.data.splits import SPLIT
start = time.perf_counter()
root = Path(sys.argv[1])
image_index = scan(root, sorted(folder.name for folder in root.iterdir()), SPLIT.validate_python({"by": "seed"}))
counts = image_index.counts
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(len(image_index), int(peak.split()[1]) / 1e6, time.perf_counter() - start)
"""


def memory_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """Peak memory of a process that indexes a folder of images."""
    with tempfile.TemporaryDirectory() as scratch:
        for label in range(1000):
            folder = Path(scratch, f"label_{label:04d}")
            folder.mkdir()
            for number in range(sizes.registered // 1000):
                (folder / f"image_{number:07d}.jpg").touch()
        command = [sys.executable, "-c", INDEX_IMAGES, scratch]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
    count, peak_gb, seconds = process.stdout.split()
    yield Measurement(
        f"memory, {int(count):,} images indexed",
        "< 2 GB",
        f"{float(peak_gb):.2f} GB, {float(seconds):.0f} s",
        float(peak_gb) < 2,
    )


def bundle_row(sizes: BenchmarkSizes) -> Iterator[Measurement]:
    """Seconds that a run waits for the trial of its bundle: ResNet-18 at 224 px with a ViT-B/32 teacher."""
    from distill.pipeline import check_bundle

    with random_teacher("ViT-B-32") as teacher, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seconds = [
            trial.seconds
            for _ in range(2)
            if (trial := check_bundle(config(sizes), teacher, num_labels=1000, cache=folder, scratch=folder))
        ]
    yield Measurement(
        "trial of a bundle before the training, ResNet-18, ViT-B/32 teacher",
        "< 60 s",
        f"{seconds[0]:.1f} s; {seconds[1] * 1000:.0f} ms when cached",
        seconds[0] < 60,
    )


ROWS: dict[str, Callable[[BenchmarkSizes], Iterator[Measurement]]] = {
    "step": step_row,
    "loop": loop_row,
    "gpu": gpu_row,
    "teacher": teacher_row,
    "texts": texts_row,
    "evaluation": evaluation_row,
    "memory": memory_row,
    "bundle": bundle_row,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line: print the table; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(ROWS), help=f"comma-separated rows, of {', '.join(ROWS)}")
    parser.add_argument("--images", type=int, default=2000, help="number of JPEGs")
    parser.add_argument("--jpeg-px", type=int, default=500, help="longer side of the JPEGs in pixels")
    parser.add_argument("--image-px", type=int, default=224, help="pixels of the student of the rows step and loop")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"), help="of our loop")
    parser.add_argument("--steps", type=int, default=50 if CUDA else 4, help="timed steps of a loop")
    parser.add_argument("--batch", type=int, default=128 if CUDA else 32, help="batch size")
    parser.add_argument("--prompts", type=int, default=2000, help="number of prompts; 50 times as many on a GPU")
    parser.add_argument("--evaluated", type=int, default=50_000, help="number of evaluated images")
    parser.add_argument("--registered", type=int, default=1_000_000, help="number of indexed images")
    parser.add_argument(
        "--plain", type=Path, metavar="FOLDER", help="run only the plain loop, on the JPEGs of a folder"
    )
    arguments = vars(parser.parse_args(argv))
    names, folder = arguments.pop("only").split(","), arguments.pop("plain")
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f'no row is called "{unknown[0]}"; the rows are {", ".join(ROWS)}')
    sizes = BenchmarkSizes(**arguments)
    if folder is not None:
        print(run_plain_loop(sizes, folder))
        return 0
    device = torch.cuda.get_device_name() if CUDA else load.machine()
    title = f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    table, console = Table("", "target", "measured", "", title=title, title_justify="left"), Console(width=160)
    num_missed = 0
    for name in names:
        for one in ROWS[name](sizes):
            console.print(f"[dim]{one.name}: {one.measured} {one.verdict}[/]", highlight=False)
            table.add_row(one.name, one.target, one.measured, one.verdict)
            num_missed += one.ok is False
    console.print(table)
    return 1 if num_missed else 0


if __name__ == "__main__":
    unblock_stop_signals()
    if "--plain" in sys.argv or MALLOC_SETTINGS.keys() <= os.environ.keys():
        sys.exit(main())
    sys.exit(run_training_process([sys.executable, "-m", "benchmarks.distill", *sys.argv[1:]]))
