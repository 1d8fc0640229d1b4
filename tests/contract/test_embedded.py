"""The contract on SQLite and the embedded worker."""

import json
from pathlib import Path

import pytest

from distill.__main__ import main
from distill.bundle.verify import file_sha256
from limbeck.errors import Problem
from tests.contract.cluster import Cluster
from tests.contract.enriching import *  # noqa: F403
from tests.contract.life import *  # noqa: F403
from tests.contract.scene import *  # noqa: F403
from tests.contract.scene import SPLIT, TINY, distill, weights
from tests.contract.whole import *  # noqa: F403


@pytest.fixture(scope="module")
def mode() -> str:
    return "embedded"


@pytest.mark.slow
def test_the_same_job_by_the_command_line_ends_with_the_same_bytes(
    cluster: Cluster, dataset_id: str, names: list[str], tmp_path: Path
) -> None:
    config = {**TINY, "view": "same", "num_views": 2, "average": "ema", "average_from": 0.3, "losses": {"vlalign": 1}}
    done = cluster.client.wait(distill(cluster, dataset_id, config), timeout_s=180)
    assert done.result is not None
    data, labels = cluster.folder / "data", tmp_path / "labels.txt"
    labels.write_text("\n".join(names))
    words = ["--images", str(data / "images"), "--labels", str(labels), "--split", json.dumps(SPLIT)]
    words += ["--teacher", f"local-dir:{data / 'teacher'}", "--text", "names", "--out", str(tmp_path / "out")]
    settings = [f"{name}={json.dumps(value)}" for name, value in config.items()]
    assert main([*words, *(word for setting in settings for word in ("--set", setting))]) == 0
    assert file_sha256(tmp_path / "out" / "bundle" / "image" / "model.safetensors") == weights(cluster, done)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    for part in ("id", "ood", "joint"):
        assert report["student"][part] == done.result["evaluation"][part]


@pytest.mark.slow
def test_protocols_from_one_student_to_the_next(cluster: Cluster, dataset_id: str) -> None:
    """What `python -m distill` can do the service can: learned vectors, retrieval, a fine-tuning, the baseline."""
    once = {**TINY, "epochs": 1, "context_tokens": 2}
    first = cluster.client.wait(distill(cluster, dataset_id, {**once, "protocol": "retrieval", "shots": 2}))
    assert first.result is not None
    checkpoint_id, measured = first.result["checkpoint_id"], first.result["evaluation"]
    assert measured["retrieval"]["num_images"] == measured["ood"]["num_images"]

    few = {**once, "protocol": "fine_tune", "shots": 3}
    for config, start in ((few, None), (once, checkpoint_id), ({**few, "student": "test_vit"}, checkpoint_id)):
        with pytest.raises(Problem, match="start_checkpoint_id") as refused:
            distill(cluster, dataset_id, config, start_checkpoint_id=start)
        assert refused.value.status == 422
    tuned = cluster.client.wait(distill(cluster, dataset_id, few, start_checkpoint_id=checkpoint_id))
    assert tuned.result is not None
    unseen = tuned.result["evaluation"]["ood"]
    assert unseen["num_images"] == measured["ood"]["num_images"] - unseen["num_labels"]
    # What it was tuned on stays out of the test when it is measured again, though fewer shots are asked for.
    again = cluster.client.evaluate(dataset_id, checkpoint_id=tuned.result["checkpoint_id"], shots=1)
    result = cluster.client.wait(again).result
    assert result is not None
    assert result["evaluation"]["ood"]["per_label"] == unseen["per_label"]
    assert result["evaluation"]["retrieval"]["num_images"] == unseen["num_images"]

    plain = cluster.client.wait(distill(cluster, dataset_id, {**TINY, "epochs": 1, "protocol": "closed_set"}))
    assert plain.result is not None
    assert plain.result["evaluation"]["ood"] is None
    assert "checkpoint_id" not in plain.result
