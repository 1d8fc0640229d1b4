"""Connects a GPU part with the pipeline of `distill`: hooks that report to the lease, and codes of errors."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from distill.bundle.write import BundleError
from distill.config.loss_registry import UnlabelledUnused
from distill.config.multi_label import MultiLabelUnfit
from distill.config.time_budget import TimeBudgetTooShort
from distill.data.dataset.trained_on import count_changed
from distill.data.decoded_images import ImagesError
from distill.data.few_shot import FewShotError
from distill.data.row_cache import Keys
from distill.evaluation.named_images import FurtherSetUnfit
from distill.hooks import PipelineHooks
from distill.pipeline import NoImages
from distill.student.features import StudentNotFinite
from distill.student.init_from_bundle import InitialStudentError
from distill.student.model import StudentError
from distill.teacher.teacher import TeacherError
from distill.texts.text_templates import TextsError
from distill.training.guards import NonFiniteLoss, OutOfMemory
from distill.training.training_state import StateError
from limbeck.shared.images.file_names import shown_path
from workers.gpu.device_memory import gpu_memory
from workers.runtime.errors import PartError
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.throughput import Throughput

ERROR_CODES: Mapping[type[Exception], str] = {
    NoImages: "no_usable_images",
    ImagesError: "images_not_ready",
    StudentError: "student_unfit",
    FewShotError: "too_few_images",
    InitialStudentError: "start_unfit",
    StateError: "state_unusable",
    TextsError: "texts_unfit",
    NonFiniteLoss: "loss_not_finite",
    StudentNotFinite: "student_not_finite",
    OutOfMemory: "gpu_out_of_memory",
    BundleError: "bundle_unfit",
    UnlabelledUnused: "unlabelled_unused",
    TimeBudgetTooShort: "time_budget_too_short",
    MultiLabelUnfit: "multi_label_unfit",
    FurtherSetUnfit: "further_set_unfit",
}

MAX_NOTED = 100
"""Unusable images that have an event each."""


@contextmanager
def pipeline_errors() -> Iterator[None]:
    """Turns the errors of the pipeline into PartError with a stable code."""
    try:
        yield
    except TeacherError as error:
        raise PartError(error.code, str(error)) from error
    except tuple(ERROR_CODES) as error:
        raise PartError(ERROR_CODES[type(error)], str(error)) from error


def pipeline_hooks(lease: LeaseRenewal) -> PipelineHooks:
    """Hooks that report progress and unusable images of the part, and stop the pipeline when the part should stop."""
    throughputs: dict[str, Throughput] = {}

    def on_progress(done: int, total: int, unit: str) -> None:
        lease.progress(done, total, unit, throughputs.setdefault(unit, Throughput())(done), gauges=gpu_memory)

    num_noted = 0

    def on_bad_image(path: Path, reason: str) -> None:
        nonlocal num_noted
        num_noted += 1
        if num_noted > MAX_NOTED:  # of a million images whose disk is not mounted
            if num_noted == MAX_NOTED + 1:
                lease.note("more images are left out; the result of the job counts them", level="warning")
            return
        name = shown_path(f"{path.parent.name}/{path.name}")
        lease.note(f"image {name} is left out: {reason}", level="warning", image=name, reason=reason)

    return PipelineHooks(
        on_progress=on_progress,
        should_stop=lease.should_stop,
        on_bad_image=on_bad_image,
        on_note=lambda text: lease.note(text, level="warning"),
    )


def note_changed_images(lease: LeaseRenewal, registered: Path, contents: Keys) -> None:
    """Warn if training images, by their sha256 (N, 32), are not among those of the dataset when it was registered.

    `registered`: the file that `distill.data.dataset.trained_on.save_contents` wrote. Raises TrainedOnError.
    """
    count = count_changed(registered, contents)
    if count:
        message = (
            f"{count} of {len(contents)} training images were changed after the dataset was registered, so that its "
            "report and its search for copies are out of date: register it again"
        )
        lease.note(message, level="warning", num_changed=count)
