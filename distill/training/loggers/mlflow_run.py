"""A run of MLflow. The library reads its own variables: `MLFLOW_TRACKING_URI`, `MLFLOW_EXPERIMENT_NAME`, …"""

import logging
import os
import time
from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run

from distill.training.loggers.record import LoggedRow, RunRecord, setting_text

EXPERIMENT = "limbeck"
ID_TAG = "limbeck.id"
MAX_VALUE_CHARS = 500
# The server takes no more.
_METRICS_PER_REQUEST = 1000
_PARAMS_PER_REQUEST = 100


class MlflowRun:
    """The run with the id of the record. Without `MLFLOW_TRACKING_URI` it is in `mlflow.db` below the record's folder.

    A resumed run continues it, and does not write again the steps that it has.
    """

    def __init__(self, run: RunRecord) -> None:
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        run.folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.folder / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=uri)
        experiment = self._experiment_id(os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
        found = self._client.search_runs([experiment], f"tags.`{ID_TAG}` = '{run.id}'", max_results=1)
        self._is_new = not found
        self._run_id: str = (found[0] if found else self._create(experiment, run)).info.run_id
        self._last_steps: dict[str, int] = {}
        self._client.update_run(self._run_id, "RUNNING")

    def _experiment_id(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(name)
        found: str = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        return found

    def _create(self, experiment: str, run: RunRecord) -> Run:
        created = self._client.create_run(experiment, run_name=run.name, tags={ID_TAG: run.id, **run.tags})
        params = [Param(name, setting_text(value)[:MAX_VALUE_CHARS]) for name, value in run.settings.items()]
        for start in range(0, len(params), _PARAMS_PER_REQUEST):
            self._client.log_batch(created.info.run_id, params=params[start : start + _PARAMS_PER_REQUEST])
        return created

    def write(self, rows: Sequence[LoggedRow], /) -> None:
        metrics = list(self._metrics(rows))
        for start in range(0, len(metrics), _METRICS_PER_REQUEST):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + _METRICS_PER_REQUEST])

    def _metrics(self, rows: Sequence[LoggedRow]) -> Iterator[Metric]:
        now_ms = int(time.time() * 1000)
        for row in rows:
            for name, value in row.values.items():
                if row.step > self._last_step(name):
                    yield Metric(name, value, now_ms, row.step)

    def _last_step(self, name: str) -> int:
        """The last step of a metric that an earlier attempt wrote; -1 if it wrote none."""
        if name not in self._last_steps:
            history = [] if self._is_new else self._client.get_metric_history(self._run_id, name)
            self._last_steps[name] = max((metric.step for metric in history), default=-1)
        return self._last_steps[name]

    def close(self) -> None:
        self._client.set_terminated(self._run_id)
