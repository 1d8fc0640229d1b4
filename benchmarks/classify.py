"""The first picture: `limbeck classify` as a whole process, from its start to its end, with a ResNet-18.

    python -m benchmarks.classify                       # makes a bundle with random weights and 200 labels
    python -m benchmarks.classify --bundle my-student --image photo.jpg

The command runs once before it is measured, so that its files are in the page cache. The minimum is what the command
takes on an idle machine; the CPU time tells how much other load there was. The second table splits the time of one
process into its steps. The last line is the rate of a folder of JPEG images.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.measurement import Measurement
from limbeck.shared.bundle.files import MANIFEST_FILE, MANIFEST_FORMAT, file_sha256

RUNS = 10
TARGET_S = 1.0
WIDTH, NUM_LABELS, NUM_IMAGES = 512, 200, 300

# Steps of the command, each with the code that does it; run in one new process.
STEPS = {
    "limbeck.cli": "import limbeck.cli, limbeck.commands.classify",
    "numpy": "import numpy",
    "Pillow and the decoder": "import limbeck.shared.images.decode",
    "ONNX Runtime": "import onnxruntime",
    "limbeck.classify": "from limbeck.classify import bundle as files, load_student, sessions",
    "manifest and configs": "bundle = files.Bundle.open(pathlib.Path(folder))",
    "sha256 of the graph": "graph = bundle.path(files.IMAGE_GRAPH)",
    "graph": "sessions.Graph(graph, 'image')",
    "the rest of loading": "student = load_student(folder)",  # does the two steps above again
    "first picture": "student.classify(image)",
    "second picture": "student.classify(image)",
}


def make_bundle(folder: Path) -> None:
    """Write a ResNet-18 with random weights, the labels, and the files that `limbeck classify` reads."""
    import timm
    import torch
    from safetensors.torch import save_file

    from distill.bundle.onnx.graphs import image_encoder, saved

    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=WIDTH).eval()
    (folder / "onnx").mkdir(parents=True)
    (folder / "targets").mkdir()
    (folder / "onnx" / "image.onnx").write_bytes(saved(image_encoder(model, torch.randn(2, 3, 224, 224))))
    labels = [f"label {number}" for number in range(NUM_LABELS)]
    features = torch.nn.functional.normalize(torch.randn(NUM_LABELS, WIDTH), dim=-1)
    save_file({"features": features}, folder / "targets" / "text_targets.safetensors")
    preprocess: dict[str, object] = {
        "size": [224, 224],
        "mode": "RGB",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    preprocess |= {"interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash", "background": "#ffffff"}
    config = {"format": "limbeck onnx 1", "labels": labels, "temperature": 0.07, "preprocess": preprocess, "text": None}
    threshold: dict[str, object] = {"score": "cosine", "threshold": 0.1, "false_alarm_rate": 0.05, "num_images": 1000}
    for name, value in {
        "onnx/config.json": config,
        "targets/labels.json": {"labels": [{"label": label, "part": "id"} for label in labels]},
        "evaluation.json": {"none_of_these": threshold},
    }.items():
        (folder / name).write_text(json.dumps(value))
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [
        {"path": path.relative_to(folder).as_posix(), "sha256": file_sha256(path), "size": path.stat().st_size}
        for path in paths
    ]
    (folder / MANIFEST_FILE).write_text(json.dumps({"format": MANIFEST_FORMAT, "files": files}))


def make_images(folder: Path, count: int) -> None:
    """Write smooth random JPEG images of 500 x 375."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)


def run_command(bundle: Path, image: Path) -> tuple[float, float]:
    """Wall time and CPU time of the command, in seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "limbeck.cli", "classify", str(bundle), str(image), "--format", "csv"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall_s = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure_command(bundle: Path, image: Path) -> Measurement:
    """The whole process, `RUNS` times."""
    run_command(bundle, image)
    runs = [run_command(bundle, image) for _ in range(RUNS)]
    walls, cpus = zip(*runs, strict=True)
    measured = (
        f"minimum {min(walls):.2f} s, median {statistics.median(walls):.2f} s of {RUNS} runs; "
        f"CPU time {min(cpus):.2f} to {max(cpus):.2f} s"
    )
    return Measurement("first picture, whole process", f"< {TARGET_S:.0f} s", measured, min(walls) < TARGET_S)


def measure_steps(bundle: Path, image: Path) -> Mapping[str, tuple[float, float]]:
    """Wall time and CPU time of each step of one process, in milliseconds: the fastest of three processes."""
    lines = ["import json, os, pathlib, sys, time", "folder, image = sys.argv[1:]", "spent = {}"]
    for name, code in STEPS.items():
        lines += ["wall, cpu = time.perf_counter(), sum(os.times()[:2])", code]
        lines += [f"spent[{name!r}] = 1000 * (time.perf_counter() - wall), 1000 * (sum(os.times()[:2]) - cpu)"]
    command = [sys.executable, "-c", "\n".join([*lines, "print(json.dumps(spent))"]), str(bundle), str(image)]
    runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
    return {name: (min(run[name][0] for run in runs), min(run[name][1] for run in runs)) for name in STEPS}


def measure_folder(bundle: Path, images: Path, count: int) -> Measurement:
    """Images per second of a folder, with the start of the process."""
    wall_s, cpu_s = run_command(bundle, images)
    rate = f"{count / wall_s:.0f} images/s ({wall_s:.1f} s, CPU time {cpu_s:.1f} s on {os.cpu_count()} CPUs)"
    return Measurement(f"{count} JPEG images of 500 x 375", "", rate, None)


def main() -> None:
    """Print the measurements. Exit code 1 if the target is missed."""
    parser = argparse.ArgumentParser(description="Time of the first picture with limbeck classify.")
    parser.add_argument("--bundle", type=Path, help="a student with onnx/ and targets/; else one is made")
    parser.add_argument("--image", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bundle = arguments.bundle or Path(scratch) / "bundle"
        if arguments.bundle is None:
            make_bundle(bundle)
        images = Path(scratch) / "images"
        make_images(images, NUM_IMAGES)
        image = arguments.image or images / "0.jpg"
        first = measure_command(bundle, image)
        print(f"{first.name}: {first.measured} (target {first.target}) {first.verdict}")
        for name, (wall_ms, cpu_ms) in measure_steps(bundle, image).items():
            print(f"  {name:26} {wall_ms:7.0f} ms   CPU {cpu_ms:5.0f} ms")
        folder = measure_folder(bundle, images, NUM_IMAGES)
        print(f"{folder.name}: {folder.measured}")
    sys.exit(0 if first.ok else 1)


if __name__ == "__main__":
    main()
