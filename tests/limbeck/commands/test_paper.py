"""`limbeck run --paper`: the layouts of the paper's scripts, its recipes, and what an option overrides."""

import json
from pathlib import Path
from typing import Any

import pytest

from distill.cli.label_files import read_labels_and_ids
from distill.config.recipes import RECIPES, resolve_train_config
from distill.data.dataset.scan import scan_dataset
from distill.data.image_source import ImageSource
from distill.data.splits import SPLIT as SPLITS
from limbeck.cli import main
from limbeck.commands.common import BadInput
from limbeck.commands.paper import (
    PAPER_DATASETS,
    SOURCE,
    SPLIT,
    labels_file,
    paper_dataset,
    recipe_and_settings,
    sentences_file,
)
from limbeck.shared.attribute_files.label2text import read_rows, read_sentences
from limbeck.shared.attribute_files.reading import Reading
from tests.limbeck.helpers import VOCABULARY, failed
from tests.limbeck.scripted import Say, scripted
from tests.paper_datasets import MINIATURES, NUM_IMAGES, write_miniature

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", list(PAPER_DATASETS))
def test_labels_parts_and_counts_are_those_of_the_script(name: str, tmp_path: Path) -> None:
    root, miniature = write_miniature(name, tmp_path / name), MINIATURES[name]
    labels, ids = read_labels_and_ids(root / "label2text.txt")
    split, source = SPLITS.validate_python(SPLIT), ImageSource.model_validate(SOURCE)
    found = scan_dataset(root, labels, split, source=source, label_ids=ids)
    index = found.image_index
    counts = {
        "train": 2 * NUM_IMAGES["train"],
        "held_out": 2 * NUM_IMAGES["val_on_train"],
        "ood": 2 * NUM_IMAGES["val"],
    }
    assert {part: index.counts[part] for part in counts} == counts
    folders = {folder: label for one in (miniature.seen, miniature.unseen) for folder, label in one.items()}
    parts = {"train": "train", "val_on_train": "held_out", "val": "ood"}
    for item in index:
        part, folder, _ = item.path.split("/")
        assert item.part == parts[part]
        assert labels[item.label].partition(" (")[0] == folders[folder]
        assert (folder in miniature.seen) == (item.label in index.id_labels)
    assert len(set(index.id_labels) | set(index.ood_labels)) == 4  # also of tiered-ImageNet's two cranes


def test_every_sentence_belongs_to_its_label(tmp_path: Path) -> None:
    root, reading = write_miniature("tiered_imagenet", tmp_path / "t"), Reading()
    rows = read_rows((root / "label2text.txt").read_text(), reading)
    sentences = read_sentences(rows, (root / "chatgpt.txt").read_text(), reading)
    for row, sentence in zip(rows, sentences, strict=True):
        assert sentence.endswith(f"shape of {row.folder}.")


@pytest.mark.parametrize(("student", "recipe"), [("", "li2023_resnet"), ("vit_base_patch32_224", "li2023_vit")])
def test_recipe_and_passes_are_those_of_the_readme(student: str, recipe: str) -> None:
    config = {"student": student} if student else {}
    passes = {}
    for name, dataset in PAPER_DATASETS.items():
        chosen, settings = recipe_and_settings(dataset, "", config)
        assert chosen == recipe
        passes[name] = resolve_train_config(chosen, settings).schedule.passes_per_epoch
    small, large = 5, 3 if student else 1
    assert passes == {name: small if name in ("cub", "flowers102", "cars") else large for name in PAPER_DATASETS}


def test_what_is_given_counts() -> None:
    cub, sun = paper_dataset("CaltechBirds"), paper_dataset("sun397")
    assert recipe_and_settings(cub, "limbeck", {}) == ("limbeck", {})
    for given in ({"passes_per_epoch": 2}, {"schedule": {"passes_per_epoch": 2}}):
        assert recipe_and_settings(cub, "", given)[1] == given
    # The fine-tuned ViT makes three passes on all sets, as its recipe says.
    chosen, settings = recipe_and_settings(cub, "li2023_vit_5shot", {})
    assert resolve_train_config(chosen, settings) == RECIPES["li2023_vit_5shot"]()
    assert recipe_and_settings(sun, "li2023_resnet_5shot", {})[1] == {"passes_per_epoch": 1}


def test_names_are_those_of_the_layouts_and_of_the_published_code() -> None:
    for folder in ("CaltechBirds", "Flower102", "Food101", "StanfordCars", "SUN397", "tiered-ImageNet"):
        assert paper_dataset(folder).folder == folder
    with pytest.raises(BadInput, match="choose one of cub, flowers102, food101, cars, sun397, tiered_imagenet"):
        paper_dataset("imagenet")


def test_the_counts_of_the_published_lists_are_compared() -> None:
    cub = paper_dataset("cub")
    assert cub.counts is not None
    assert cub.differences(cub.counts) == []
    (difference,) = cub.differences({**cub.counts, "ood": 5900})
    assert difference == "5,900 images of unseen labels, the paper has 5,926"
    assert paper_dataset("tiered_imagenet").differences({"train": 1}) == []


def test_labels_and_sentences_lie_beside_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_miniature("cub", tmp_path / "data" / "cub")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="label2text.txt is not in cub"):
        labels_file("cub")
    monkeypatch.setenv("LIMBECK_DATA_ROOT", str(tmp_path / "data"))
    labels = labels_file("cub")
    assert sentences_file(labels) == str(labels.with_name("chatgpt.txt"))
    labels.with_name("chatgpt.txt").unlink()
    assert sentences_file(labels) == ""
    monkeypatch.chdir(tmp_path / "data")
    assert labels_file("cub") == Path("cub/label2text.txt")
    labels.rename(labels.with_name("Label2Text.TXT"))
    labels.with_name("ChatGPT.txt").write_text("")
    assert labels_file("cub") == Path("cub/Label2Text.TXT")
    assert sentences_file(labels_file("cub")) == str(Path("cub/ChatGPT.txt"))


def test_sentences_that_do_not_fit_the_labels_are_refused_before_anything_is_stored(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_miniature("cub", tmp_path / "cub")
    (root / "chatgpt.txt").write_text("One sentence.\n")
    monkeypatch.chdir(tmp_path)
    counts = {"train": 8, "held_out": 4, "ood": 8, "id_labels": 2, "ood_labels": 2}
    planned = {
        "vocabulary": {"num_labels": 4, "same_id": None},
        "dataset": {"counts": counts, "warnings": [], "labels": [0, 1, 2, 3], "same_id": None},
        "jobs": [{"kind": "distill", "spec": {}, "same_job_id": None, "estimate": None}],
    }
    with scripted([Say(200, planned)]) as server:
        command = ["run", "--paper", "cub", "--images", "cub", "--out", "student", "--dry-run", "--url", server.url]
        assert main(command) == 2
    assert "chatgpt.txt: sentences line 2: has 1 line for 4 labels" in capsys.readouterr().err


def test_without_paper_labels_and_teacher_are_needed(tmp_path: Path, capsys: Capture, home: None) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("crane\nauk\n")
    run = ["run", "--images", "birds", "--out", str(tmp_path / "out")]
    for given, missing in ((["--teacher", "t"], "--labels"), (["--labels", str(labels)], "--teacher")):
        code, line = failed([*run, *given], capsys)
        assert code == 2
        assert f"{missing} is missing" in line


def test_the_plan_of_a_data_set_of_the_paper(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    write_miniature("cub", tmp_path / "cub")
    monkeypatch.chdir(tmp_path)
    counts = {"train": 4122, "held_out": 1740, "ood": 5926, "id_labels": 100, "ood_labels": 99}
    planned: dict[str, Any] = {
        "vocabulary": {"num_labels": 4, "same_id": None},
        "dataset": {"counts": counts, "warnings": [], "labels": [0, 1, 2, 3], "same_id": None},
        "jobs": [{"kind": "distill", "spec": {}, "same_job_id": None, "estimate": None}],
    }
    assert VOCABULARY["num_labels"] == 2
    with scripted([Say(200, planned)]) as server:
        command = ["run", "--paper", "cub", "--images", "cub", "--out", "student", "--dry-run", "--url", server.url]
        assert main(command) == 0
    sent = json.loads(server.seen[0].body)
    assert sent["dataset"]["split"] == {"by": "parts"}
    assert sent["dataset"]["images"] == {"layout": "part_folders"}
    assert sent["vocabulary"]["domain"] == "birds"
    (distill,) = sent["jobs"]  # chatgpt.txt in the place of an LLM
    assert distill["teacher"] == "ViT-L-14:openai"
    assert (distill["recipe"], distill["config"]) == ("li2023_resnet", {"passes_per_epoch": 5})
    printed = capsys.readouterr().out
    assert "unlike the published split: 99 unseen labels, the paper has 100" in printed
    assert f"sentences: {Path('cub/chatgpt.txt')}, no LLM" in printed


@pytest.mark.parametrize("given", [["--strategies", "sentence"], ["--endpoint", "local"], ["--llm-model", "m"]])
def test_an_option_of_the_llm_counts_beside_the_published_sentences(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_miniature("cub", tmp_path / "cub")
    monkeypatch.chdir(tmp_path)
    dataset = {"counts": dict.fromkeys(("train", "held_out", "ood", "id_labels", "ood_labels"), 1)}
    dataset |= {"warnings": [], "labels": [0, 1, 2, 3], "same_id": None}
    planned = {"vocabulary": {"num_labels": 4, "same_id": None}, "dataset": dataset, "jobs": []}
    with scripted([Say(200, planned)]) as server:
        command = ["run", "--paper", "cub", "--images", "cub", "--out", "student", "--dry-run", "--url", server.url]
        assert main([*command, *given]) == 0
    kinds = [job["kind"] for job in json.loads(server.seen[0].body)["jobs"]]
    assert kinds == ["enrich", "distill"]
