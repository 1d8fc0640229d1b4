"""Weights & Biases and MLflow without a server: what they store of a run that is interrupted and resumed."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distill.training.loggers.records import EVALUATED, STEP_NAMES


def log_run(name: str, folder: Path, **variables: str) -> None:
    command = [sys.executable, "-m", "tests.distill.training.loggers.log_run", name, str(folder)]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB_", "MLFLOW_"))} | variables
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.nightly
def test_wandb_writes_an_offline_run(tmp_path: Path) -> None:
    log_run("wandb", tmp_path, WANDB_MODE="offline")
    runs = list((tmp_path / "wandb").glob("offline-run-*-job_1/run-job_1.wandb"))
    assert runs
    stored = b"".join(path.read_bytes() for path in runs)
    for name in (*STEP_NAMES, *EVALUATED, "dataset:d0", "test_resnet"):
        assert name.encode() in stored, name


@pytest.mark.nightly
def test_mlflow_writes_one_run_with_every_step_once(tmp_path: Path) -> None:
    log_run("mlflow", tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as db:
        metrics = db.execute("select key, step from metrics order by step").fetchall()
        params = dict(db.execute("select key, value from params").fetchall())
        tags = dict(db.execute("select key, value from tags").fetchall())
        status = db.execute("select status from runs").fetchall()
    db.close()
    assert {key for key, _ in metrics} == STEP_NAMES | set(EVALUATED)
    assert [step for key, step in metrics if key == "loss/total"] == [1, 2, 3, 4, 5, 6]
    assert [step for key, step in metrics if key == "evaluation/id/accuracy"] == [6]
    assert params == {"epochs": "2", "student": "test_resnet", "losses": "{'cls': 1.0}"}
    assert (tags["limbeck.id"], tags["dataset"], tags["teacher"]) == ("job_1", "d0", "t0")
    assert status == [("FINISHED",)]
