"""The contract tests on SQLite and the embedded worker."""

import json
from pathlib import Path

import pytest
from PIL import Image

from distill.bundle.verify import file_sha256
from distill.cli.train_process import main
from limbeck.classify import load_student
from limbeck.cli import main as limbeck
from limbeck.errors import Problem
from tests.contract.cluster import TEACHER, Cluster
from tests.contract.end_to_end import *  # noqa: F403
from tests.contract.enrichment import *  # noqa: F403
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.fixtures import SPLIT, TINY_CONFIG, start_distill, weights_sha256
from tests.contract.job_lifecycle import *  # noqa: F403
from tests.contract.ranks import *  # noqa: F403
from tests.paper_datasets import MINIATURES, write_miniature


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
@pytest.mark.parametrize(("name", "text"), [("cub", "names"), *((name, "sentence") for name in MINIATURES)])
def test_a_data_set_of_the_paper_from_its_files_to_a_student(
    cluster: Cluster,
    name: str,
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`limbeck run --paper cub` and the others on miniatures in the layout of the paper's scripts, in two steps."""
    data, images = cluster.folder / "data", f"{name} {text}"
    write_miniature(name, data / images)
    monkeypatch.setenv("LIMBECK_DATA_ROOT", str(data))
    config = {**TINY_CONFIG, "epochs": 1, "passes_per_epoch": 2}
    settings = [word for key, value in config.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    command = ["run", "--paper", name, "--images", images, "--text", text, "--out", str(tmp_path / "student")]
    assert limbeck([*command, *settings, "--teacher", TEACHER, "--json", "--url", cluster.url]) == 0
    printed = json.loads(capsys.readouterr().out)
    evaluation = printed["evaluation"]
    assert (evaluation["id"]["num_images"], evaluation["ood"]["num_images"]) == (2, 4)
    manifest = json.loads((tmp_path / "student" / "manifest.json").read_text())
    trained = manifest["made_from"]
    assert (trained["recipe"], trained["config"]["student"]["init"]) == ("li2023_resnet", "torchvision")
    first = json.loads((tmp_path / "student" / "targets" / "labels.json").read_text())["labels"][0]
    folder, label = next(iter(MINIATURES[name].seen.items()))
    sentence = f"A {label} has the shape of {folder}."
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


def write_scenes(images: Path, scenes: Path, num_images: int = 84) -> list[str]:
    """Pictures of two creatures side by side, with a table of their labels; returns the labels."""
    species = sorted(folder for folder in images.iterdir() if folder.is_dir())[:6]
    (scenes / "pictures").mkdir(parents=True)
    lines = ["file_name,label"]
    for number in range(num_images):
        # A creature stands beside each of the others, and now and then alone.
        first, second = number % 6, (number // 6 + number) % 6
        scene = Image.new("RGB", (64, 32))
        for place, one in enumerate((first, second)):
            pictures = sorted(species[one].iterdir())
            with Image.open(pictures[number % len(pictures)]) as picture:
                scene.paste(picture.resize((32, 32)), (32 * place, 0))
        scene.save(scenes / "pictures" / f"{number}.png")
        names = dict.fromkeys(species[one].name.replace("_", " ") for one in (first, second))
        lines.append(f"pictures/{number}.png,{'|'.join(names)}")
    (scenes / "scenes.csv").write_text("\n".join(lines) + "\n")
    return [folder.name.replace("_", " ") for folder in species]


@pytest.mark.slow
def test_pictures_with_several_labels_from_a_table_to_their_labels(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A multi-label dataset, a training with the asymmetric loss, mAP, and a student that names all labels."""
    data = cluster.folder / "data"
    labels = write_scenes(data / "images", data / "scenes")
    client = cluster.client
    vocabulary = client.vocabularies.create("creatures in scenes", labels)
    images = {"layout": "table", "file": "scenes.csv", "label_separator": "|", "several_labels": "all"}
    split = {"by": "list", "id": labels[:5], "ood": labels[5:], "held_out": 0.5}
    dataset = client.datasets.create(vocabulary.id, "scenes", split=split, images=images, duplicates="move")
    assert dataset.labels_per_image is not None
    assert 1 < dataset.labels_per_image < 2
    config = {**TINY_CONFIG, "onnx": True, "epochs": 2}
    with pytest.raises(Problem, match=r"the loss cls need one label an image.*these fit: mse, im_cst") as refused:
        start_distill(cluster, dataset.id, config)
    assert (refused.value.status, refused.value.code) == (422, "multi_label_unfit")
    done = client.jobs.wait(
        start_distill(cluster, dataset.id, {**config, "losses": {"cls": 0, "asl": 1}}), timeout_s=120
    )
    assert done.result is not None
    found = done.result["evaluation"]
    assert (found["id"], found["ood"], found["joint"]) == (None, None, None)
    measured = found["multi_label"]
    assert set(measured["id"]["per_label"]) <= set(labels[:5])
    assert set(measured["ood"]["per_label"]) == {labels[5]}
    assert measured["ood"]["num_images"] == dataset.counts["ood"]
    assert measured["threshold"]["num_images"] == dataset.counts["held_out"]
    assert found["teacher"][0]["multi_label"]["id"]["num_labels"] == measured["id"]["num_labels"]
    events = [event for event in client.jobs.events(done.id) if "losses" in event.data]
    assert set(events[-1].data["losses"]) == {"asl", "mse", "im_cst"}

    bundle = tmp_path / "student"
    client.checkpoints.download(done.result["checkpoint_id"], bundle)
    student = load_student(bundle)
    assert student.label_threshold is not None
    assert student.label_threshold.threshold == measured["threshold"]["threshold"]
    picture = data / "scenes" / "pictures" / "1.png"
    cosines = dict(zip(student.labels, (student.targets @ student.embed([picture])[0]).tolist(), strict=True))
    expected = {label for label, cosine in cosines.items() if cosine >= student.label_threshold.threshold}
    assert {one.label for one in student.classify(picture).labels} == expected
    assert limbeck(["classify", str(bundle), str(picture), "--threshold", "-1", "--json"]) == 0
    assert {one["label"] for one in json.loads(capsys.readouterr().out)["labels"]} == set(labels)
    by_service = client.checkpoints.classify(done.result["checkpoint_id"], picture.read_bytes())
    assert {one.label for one in by_service.labels} == expected
    assert "Mean average precision (mAP)" in (bundle / "README.md").read_text()
