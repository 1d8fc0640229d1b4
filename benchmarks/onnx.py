"""A student in torch and in ONNX Runtime on a CPU: time of an image, time of the export, sizes of the files.

    python -m benchmarks.onnx                              # ResNet-18 and ViT-B/32 at 224 px, random weights
    python -m benchmarks.onnx --student resnet10t --px 64
    python -m benchmarks.onnx --method both                # the other method of 8-bit weights beside the chosen one

One thread, one image at a time. CPU time of the process is reported beside the least time of the clock, because it
does not depend on the load of other processes. Random weights are enough: neither time nor size depends on them.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch

from distill.bundle.onnx import int8
from distill.bundle.onnx.graphs import image_encoder, saved, with_preprocessing
from distill.bundle.student_files import StudentWeights
from distill.pipeline import bundle_weights
from distill.student.model import build_student

STUDENTS = (("resnet18", 224), ("vit_base_patch32_224", 224))
WIDTH, NUM_LABELS, NUM_CALIBRATION_IMAGES = 512, 200, 128
PICTURE = (480, 640)
"""Height and width of the picture for the graph with preprocessing."""


class Timing(NamedTuple):
    """Milliseconds of a call: least time of the clock, and CPU time on average."""

    least_ms: float
    cpu_ms: float


def timed(call: Callable[[], object], *, rounds: int) -> Timing:
    """The time of a call, after three calls to warm up."""
    for _ in range(3):
        call()
    least, cpu = float("inf"), time.process_time()
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
    return Timing(1000 * least, 1000 * (time.process_time() - cpu) / rounds)


def one_thread_session(path: Path) -> Any:
    """ONNX Runtime's session of a file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def graphs_of(student: StudentWeights, method: str) -> Iterator[tuple[str, float, onnx.ModelProto]]:
    """Name, CPU seconds to make, and graph of each file of a student; `method`: `chosen` or `both`."""
    start = time.process_time()
    encoder = image_encoder(student.model(), student.noise())
    yield "image.onnx", time.process_time() - start, encoder
    start = time.process_time()
    targets = np.eye(NUM_LABELS, WIDTH, dtype=np.float32)
    whole = with_preprocessing(encoder, student.preprocess, targets, temperature=0.07)
    yield "image-uint8.onnx", time.process_time() - start, whole
    random, shape = np.random.default_rng(0), (1, *student.noise().shape[1:])
    chosen = int8.method_of(encoder)
    methods: tuple[int8.Method, ...] = ("static", "dynamic") if method == "both" else (chosen,)
    for one in methods:
        batches = (random.normal(size=shape).astype(np.float32) for _ in range(NUM_CALIBRATION_IMAGES))
        start = time.process_time()
        graph = int8.quantised(encoder, batches, one)
        name = f"image-int8.onnx, {one}" + (" (not in the bundle)" if one != chosen else "")
        yield name, time.process_time() - start, graph


def measure(name: str, px: int, *, rounds: int, method: str) -> None:
    """Print the rows of a student."""
    torch.set_num_threads(1)
    student = bundle_weights(build_student(name, width=WIDTH, image_px=px, seed=0))
    image, model = student.noise()[:1], student.model()
    picture = np.random.default_rng(0).integers(0, 256, (1, *PICTURE, 3), dtype=np.uint8)
    with torch.inference_mode():
        row(f"{name} {px}", "torch", timed(lambda: model(image), rounds=rounds), None, None)
    with tempfile.TemporaryDirectory() as folder:
        for label, seconds, graph in graphs_of(student, method):
            path = Path(folder) / "graph.onnx"
            path.write_bytes(saved(graph))
            session = one_thread_session(path)
            given = {"image": picture if "uint8" in label else image.numpy()}
            timing = timed(lambda session=session, given=given: session.run(None, given), rounds=rounds)  # type: ignore[misc]
            row(f"{name} {px}", label, timing, seconds, path.stat().st_size)


def row(student: str, runtime: str, timing: Timing, seconds: float | None, size: int | None) -> None:
    """Print a row of the table."""
    made = "" if seconds is None else f"{seconds:.1f} s"
    megabytes = "" if size is None else f"{size / 1e6:.1f} MB"
    print(f"| {student} | {runtime} | {timing.least_ms:.1f} | {timing.cpu_ms:.1f} | {made} | {megabytes} |", flush=True)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onnx", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--student", help="a timm model (default: ResNet-18 and ViT-B/32)")
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--method", choices=("chosen", "both"), default="chosen")
    arguments = parser.parse_args()
    print("| student | runtime | least ms | CPU ms | made in, CPU | size |\n|---|---|---|---|---|---|")
    for name, px in ((arguments.student, arguments.px),) if arguments.student else STUDENTS:
        measure(name, px, rounds=arguments.rounds, method=arguments.method)


if __name__ == "__main__":
    main()
