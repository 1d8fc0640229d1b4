"""Student features of stored images: the features of the centre of each image, at the speed of the forward pass.

Images are read in a thread during the forward pass, and the features of a batch are copied back after the next batch
has been started, so that a GPU waits for neither. N images, M selected images, B images of a batch; S, T height and
width of the stored images, P, Q of the student's images; C channels, D embedding width.
"""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from distill import Stopped
from distill.data.counter_rng import Ints
from distill.data.crops import center_crop
from distill.data.decoded_images import PixelRows
from distill.hooks import PipelineHooks
from distill.student.model import Student

BATCH_SIZE = 256


class StudentNotFinite(RuntimeError):
    """Features of a student are not finite: its training diverged in its last step, or its weights are damaged."""


@torch.inference_mode()
def student_features(
    student: Student,
    pixels: PixelRows,
    rows: Ints,
    *,
    device: torch.device,
    batch_size: int = BATCH_SIZE,
    hooks: PipelineHooks | None = None,
) -> Tensor:
    """The student's features (M, D), float32 on the CPU, not normalised, of the centres of `pixels[rows]`.

    `pixels`: (N, S, T, 3) uint8. `hooks`: progress in `images`. Leaves the student in evaluation mode on `device`.
    Raises Stopped, and StudentNotFinite for features that are not finite.
    """
    hooks = hooks or PipelineHooks()
    model = student.model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    features = torch.zeros(len(rows), student.width)

    def read(start: int) -> Tensor:
        batch = torch.from_numpy(pixels[rows[start : start + batch_size]])
        return batch.pin_memory() if device.type == "cuda" and len(batch) else batch

    def store(start: int, batch_features: Tensor) -> None:
        features[start : start + len(batch_features)] = batch_features
        hooks.progress(start + len(batch_features), len(rows), "images")

    with ThreadPoolExecutor(1, "evaluate") as pool:
        ahead = pool.submit(read, 0)
        not_stored: tuple[int, Tensor] | None = None
        for start in range(0, len(rows), batch_size):
            if hooks.stop_requested():
                raise Stopped(f"{start} of {len(rows)} images evaluated")
            batch = ahead.result().to(device, non_blocking=True)  # (B, S, T, 3)
            ahead = pool.submit(read, start + batch_size)
            images = student.normalise(center_crop(batch, student.size))  # (B, C, P, Q)
            batch_features = model(images.contiguous(memory_format=torch.channels_last)).float()  # (B, D)
            if not_stored is not None:
                store(*not_stored)
            not_stored = (start, batch_features)
        if not_stored is not None:
            store(*not_stored)
    if num_bad := int((~torch.isfinite(features)).any(dim=1).sum()):
        raise StudentNotFinite(
            f"the student's features of {num_bad} of {len(rows)} images are not finite: its training has diverged; "
            "lower lr, or train in float32"
        )
    return features
