"""Student features: the centre crop, evaluation mode, progress, and stopping."""

import numpy as np
import pytest
import torch

from distill import Stopped
from distill.hooks import PipelineHooks
from distill.student.features import StudentNotFinite, student_features
from distill.student.model import build_student
from tests.distill.helpers_train import small_data


def test_features_are_of_the_centre_in_evaluation_mode() -> None:
    student = build_student("test_resnet", width=5, image_px=32, seed=0)
    pixels, rows = small_data(10, side_px=36).pixels, np.array([7, 2, 3, 9, 0])
    progress: list[tuple[int, int, str]] = []
    features = student_features(
        student,
        pixels,
        rows,
        device=torch.device("cpu"),
        batch_size=2,
        hooks=PipelineHooks(on_progress=lambda *t: progress.append(t)),
    )
    assert progress == [(2, 5, "images"), (4, 5, "images"), (5, 5, "images")]
    assert not student.model.training
    centre = torch.from_numpy(pixels[rows][:, 2:34, 2:34]).permute(0, 3, 1, 2)
    with torch.no_grad():
        torch.testing.assert_close(features, student.model(student.normalise(centre)), atol=1e-5, rtol=1e-5)


def test_stop_request_raises_stopped() -> None:
    student = build_student("test_resnet", width=5, image_px=32, seed=0)
    with pytest.raises(Stopped):
        student_features(
            student,
            small_data().pixels,
            np.arange(4),
            device=torch.device("cpu"),
            hooks=PipelineHooks(should_stop=lambda: True),
        )


def test_features_that_are_not_finite_are_refused() -> None:
    """As after a last step with a learning rate that is far too high: the loss of a further step would show it."""
    student = build_student("test_resnet", width=5, image_px=32, seed=0)
    with torch.no_grad():
        for parameter in student.model.parameters():
            parameter.mul_(1e30)
    with pytest.raises(StudentNotFinite, match="features of 4 of 4 images are not finite: .*lower lr"):
        student_features(student, small_data().pixels, np.arange(4), device=torch.device("cpu"))
