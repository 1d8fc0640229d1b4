"""A small run to log, and steps without a training."""

from pathlib import Path

from distill.training.loggers.record import RunRecord
from distill.training.metrics import StepMetrics


def record(folder: Path) -> RunRecord:
    return RunRecord(
        id="job_1",
        name="birds",
        folder=folder,
        events=folder / "events",
        settings={"epochs": 2, "student": "test_resnet", "losses": {"cls": 1.0}},
        tags={"dataset": "d0", "teacher": "t0"},
    )


def step_metrics(step: int) -> StepMetrics:
    return StepMetrics(
        step=step,
        total_steps=6,
        epoch=1 + (step > 3),
        epochs=2,
        loss=10.0 / step,
        losses={"cls": 7.0 / step, "mse": 3.0 / step},
        lr=0.1 / step,
        images_per_s=50.0,
        eta_s=6.0 - step,
        data_wait=0.25,
    )


EVALUATION = {
    "text": "names",
    "id": {"accuracy": 0.75, "per_label": {"crane": 1.0}, "calibration": {"error": 0.1, "bins": [{"low": 0.0}]}},
    "ood": None,
    "teacher": [{"run": "t", "id": {"accuracy": 0.5}}, {"run": "t", "id": {"accuracy": 0.875}}],
}
EVALUATED = {
    "evaluation/id/accuracy": 0.75,
    "evaluation/id/calibration/error": 0.1,
    "evaluation/teacher/id/accuracy": 0.875,
}
STEP_NAMES = {"loss/total", "loss/cls", "loss/mse", "lr", "speed/images_per_s", "speed/data_wait"}
