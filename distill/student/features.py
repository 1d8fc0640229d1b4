"""What a student makes of pictures: its features of the centre of each, as fast as its forward pass goes.

Pictures are gathered beside the forward pass, and a batch's features are fetched when the next batch has been sent,
so that a GPU does not wait for either. N images, M of them wanted, B images of a batch, S side of the stored pictures,
P of the student's, D embedding width.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from distill import Stopped
from distill.data.counter_rng import Ints
from distill.data.crops import see_center
from distill.data.decoded_images import PixelRows
from distill.student.model import Student

BATCH = 256


@torch.inference_mode()
def student_features(
    student: Student,
    pixels: PixelRows,
    rows: Ints,
    *,
    device: torch.device,
    batch_size: int = BATCH,
    on_progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """The student's features (M, D), float32 on the CPU, not normalised, of the centres of `pixels[rows]`.

    `pixels`: (N, S, S, 3) uint8. `on_progress(done, total, "images")`. Raises Stopped once `should_stop()` is true.
    The student is in evaluation mode on `device` afterwards.
    """
    model = student.model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    features = torch.zeros(len(rows), student.width)

    def gather(start: int) -> Tensor:
        cut = torch.from_numpy(pixels[rows[start : start + batch_size]])
        return cut.pin_memory() if device.type == "cuda" and len(cut) else cut

    def fetch(start: int, given: Tensor) -> None:
        features[start : start + len(given)] = given
        if on_progress is not None:
            on_progress(start + len(given), len(rows), "images")

    with ThreadPoolExecutor(1, "evaluate") as pool:
        ahead = pool.submit(gather, 0)
        behind: tuple[int, Tensor] | None = None
        for start in range(0, len(rows), batch_size):
            if should_stop is not None and should_stop():
                raise Stopped(f"{start} of {len(rows)} images evaluated")
            batch = ahead.result().to(device, non_blocking=True)  # (B, S, S, 3)
            ahead = pool.submit(gather, start + batch_size)
            seen = student.normalise(see_center(batch, student.image_px))
            given = model(seen.contiguous(memory_format=torch.channels_last)).float()
            if behind is not None:
                fetch(*behind)
            behind = (start, given)
        if behind is not None:
            fetch(*behind)
    return features
