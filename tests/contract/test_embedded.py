"""The contract tests on SQLite and the embedded worker."""

import json
from pathlib import Path

import pytest

from distill.bundle.verify import file_sha256
from distill.cli.train_process import main
from limbeck.cli import main as limbeck
from limbeck.errors import Problem
from tests.contract.cluster import TEACHER, Cluster
from tests.contract.end_to_end import *  # noqa: F403
from tests.contract.enrichment import *  # noqa: F403
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.fixtures import SPLIT, TINY_CONFIG, start_distill, weights_sha256
from tests.contract.job_lifecycle import *  # noqa: F403
from tests.contract.ranks import *  # noqa: F403
from tests.paper_datasets import write_miniature


@pytest.fixture(scope="module")
def mode() -> str:
    return "embedded"


@pytest.mark.slow
def test_a_job_and_the_command_line_train_the_same_weights(
    cluster: Cluster, dataset_id: str, label_names: list[str], tmp_path: Path
) -> None:
    config = {
        **TINY_CONFIG,
        "view": "same",
        "num_views": 2,
        "average": "ema",
        "average_from": 0.3,
        "losses": {"vlalign": 1},
    }
    done = cluster.client.jobs.wait(start_distill(cluster, dataset_id, config), timeout_s=180)
    assert done.result is not None
    assert not [event for event in cluster.client.jobs.events(done.id) if "num_changed" in event.data]
    data, labels = cluster.folder / "data", tmp_path / "labels.txt"
    labels.write_text("\n".join(label_names))
    arguments = ["--images", str(data / "images"), "--labels", str(labels), "--split", json.dumps(SPLIT)]
    arguments += ["--teacher", f"local-dir:{data / 'teacher'}", "--text", "names", "--out", str(tmp_path / "out")]
    settings = [f"{name}={json.dumps(value)}" for name, value in config.items()]
    assert main([*arguments, *(word for setting in settings for word in ("--set", setting))]) == 0
    assert file_sha256(tmp_path / "out" / "bundle" / "image" / "model.safetensors") == weights_sha256(cluster, done)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    for part in ("id", "ood", "joint"):
        assert report["student"][part] == done.result["evaluation"][part]


@pytest.mark.nightly
@pytest.mark.parametrize("text", ["names", "sentence"])
def test_a_data_set_of_the_paper_from_its_files_to_a_student(
    cluster: Cluster, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`limbeck run --paper cub` on a miniature in the layout of the paper's scripts, in two steps."""
    data = cluster.folder / "data"
    write_miniature("cub", data / text)
    monkeypatch.setenv("LIMBECK_DATA_ROOT", str(data))
    config = {**TINY_CONFIG, "epochs": 1, "passes_per_epoch": 2}
    settings = [word for name, value in config.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    command = ["run", "--paper", "cub", "--images", text, "--text", text, "--out", str(tmp_path / "student")]
    assert limbeck([*command, *settings, "--teacher", TEACHER, "--json", "--url", cluster.url]) == 0
    printed = json.loads(capsys.readouterr().out)
    evaluation = printed["evaluation"]
    assert (evaluation["id"]["num_images"], evaluation["ood"]["num_images"]) == (2, 4)
    manifest = json.loads((tmp_path / "student" / "manifest.json").read_text())
    trained = manifest["made_from"]
    assert (trained["recipe"], trained["config"]["student"]["init"]) == ("li2023_resnet", "torchvision")
    first = json.loads((tmp_path / "student" / "targets" / "labels.json").read_text())["labels"][0]
    sentence = "A Grasshopper Sparrow has the shape of 121.Grasshopper_Sparrow."
    assert [line["text"] for line in first.get("lines", [])] == ([sentence] if text == "sentence" else [])


@pytest.mark.nightly
def test_protocols_learned_vectors_and_continued_students(cluster: Cluster, dataset_id: str) -> None:
    """The service supports what `python -m distill` does: learned vectors, retrieval, fine-tuning, the baseline."""
    once = {**TINY_CONFIG, "epochs": 1, "context_tokens": 2}
    first = cluster.client.jobs.wait(start_distill(cluster, dataset_id, {**once, "protocol": "retrieval", "shots": 2}))
    assert first.result is not None
    checkpoint_id, measured = first.result["checkpoint_id"], first.result["evaluation"]
    assert measured["retrieval"]["num_images"] == measured["ood"]["num_images"]

    few = {**once, "protocol": "fine_tune", "shots": 3}
    for config, start in ((few, None), (once, checkpoint_id), ({**few, "student": "test_vit"}, checkpoint_id)):
        with pytest.raises(Problem, match="start_checkpoint_id") as refused:
            start_distill(cluster, dataset_id, config, start_checkpoint_id=start)
        assert refused.value.status == 422
    tuned = cluster.client.jobs.wait(start_distill(cluster, dataset_id, few, start_checkpoint_id=checkpoint_id))
    assert tuned.result is not None
    unseen = tuned.result["evaluation"]["ood"]
    assert unseen["num_images"] == measured["ood"]["num_images"] - unseen["num_labels"]
    # Images that the student was trained on are not evaluated again, although fewer shots are requested.
    evaluation = cluster.client.jobs.create(
        "evaluate", dataset_id=dataset_id, checkpoint_id=tuned.result["checkpoint_id"], shots=1
    )
    result = cluster.client.jobs.wait(evaluation).result
    assert result is not None
    assert result["evaluation"]["ood"]["per_label"] == unseen["per_label"]
    assert result["evaluation"]["retrieval"]["num_images"] == unseen["num_images"]

    plain = cluster.client.jobs.wait(
        start_distill(cluster, dataset_id, {**TINY_CONFIG, "epochs": 1, "protocol": "closed_set"})
    )
    assert plain.result is not None
    assert plain.result["evaluation"]["ood"] is None
    assert "checkpoint_id" not in plain.result


@pytest.mark.nightly
def test_a_student_for_onnx_runtime_classifies_among_its_labels_and_new_ones(
    cluster: Cluster, dataset_id: str, tmp_path: Path
) -> None:
    """From a job with `text_onnx` to the scores of a downloaded student, without torch in its path."""
    config = {**TINY_CONFIG, "onnx": True, "text_onnx": True}
    done = cluster.client.jobs.wait(start_distill(cluster, dataset_id, config), timeout_s=300)
    assert done.result is not None
    assert "left_out" not in done.result
    measured = done.result["evaluation"]["onnx"]
    assert abs(measured["id"]["float32"] - done.result["evaluation"]["id"]["accuracy"]) < 0.01
    assert measured["ood"]["num_images"] == done.result["evaluation"]["ood"]["num_images"]
    folder = tmp_path / "bundle"
    cluster.client.checkpoints.download(done.result["checkpoint_id"], folder, parts=["onnx", "targets"])
    files = {"image.onnx", "image-uint8.onnx", "image-int8.onnx", "text.onnx", "tokenizer.json", "config.json"}
    assert {path.name for path in (folder / "onnx").iterdir()} == files
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert evaluation["onnx"] == measured
    assert evaluation["onnx"] == json.loads((folder / "onnx/config.json").read_text())["int8"]
