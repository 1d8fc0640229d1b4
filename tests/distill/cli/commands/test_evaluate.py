"""`python -m distill evaluate`: a bundle on other images and labels, without training images, and its errors."""

import io
import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from distill.bundle.verify import verify_bundle
from distill.cli.commands.evaluate import further_sets, outlier_texts
from distill.cli.console import Console
from distill.cli.train_process import main
from distill.evaluation import further, none_of_these
from distill.hooks import PipelineHooks
from distill.student.init_from_bundle import TARGETS
from distill.teacher.teacher import Teacher
from distill.texts.prompt_learning import with_context
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import PromptOptions

pytestmark = pytest.mark.slow


@pytest.fixture
def bundle(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The bundle of a finished run; its images lie in `tmp_path / "images"`."""
    assert main(command) == 0
    capsys.readouterr()
    return tmp_path / "out" / "bundle"


@pytest.mark.image_input(
    "Splits and evaluation",
    "`python -m distill evaluate BUNDLE --images DIR`",
    "measured without the service or a teacher; training images are left out",
)
def test_measures_like_the_run_and_leaves_out_training_images(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = json.loads((bundle / "evaluation.json").read_text())
    out = tmp_path / "e.json"
    assert main(["evaluate", str(bundle), "--images", str(tmp_path / "images"), "--json", str(out)]) == 0
    printed = capsys.readouterr()
    found = json.loads(out.read_text())["student"]
    assert found["num_training_images"] == 12
    assert "12 images are left out: the student was trained on them" in printed.err
    for part in ("id", "ood"):
        assert found[part]["per_label"] == evaluation[part]["per_label"]
        assert found[part]["num_images"] == evaluation[part]["num_images"]
    assert [line.split()[0] for line in printed.out.splitlines()[1:]] == ["student", "chance"]


def test_further_sets_are_added_to_the_bundle(
    bundle: Path,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = ("contrast", "fog")
    monkeypatch.setattr(further, "measure_corruptions", partial(further.measure_corruptions, kinds=kinds))
    closed = [
        *command[: command.index("--out")],
        "--out",
        str(tmp_path / "closed"),
        *command[command.index("--out") + 2 :],
    ]
    assert main([*closed, "--set", "protocol=closed_set"]) == 0
    for number, style in enumerate(("ink_wash", "oil")):
        # Other bytes than those of the training, and one label that the bundle does not have.
        for label, name in (("heron", "heron"), ("red_finch", "red_finch"), ("crane", "unicorn")):
            folder = tmp_path / "styles" / style / name
            folder.mkdir(parents=True)
            for path in (tmp_path / "images" / label).iterdir():
                Image.open(path).convert("RGB").point(lambda value, by=number: (value + 40 + by) % 256).save(
                    folder / f"{path.stem}.png"
                )
    (tmp_path / "styles" / "__MACOSX").mkdir()
    (tmp_path / "far").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "far" / "red.png")
    shutil.copytree(tmp_path / "images" / "heron", tmp_path / "far" / "Heron")  # of a label, and so not unknown
    (tmp_path / "outliers.txt").write_text("stork\negret\nHeron\n")
    monkeypatch.setattr(none_of_these, "MIN_IMAGES", 2)
    before = json.loads((bundle / "evaluation.json").read_text())
    capsys.readouterr()
    sets = ["--domains", "styles", "--far", "far", "--outliers", "outliers.txt", "--baseline", "closed/classifier"]
    given = [str(tmp_path / one) if not one.startswith("--") else one for one in sets]
    images = ["--images", str(tmp_path / "images"), "--corruptions", "3"]
    assert main(["evaluate", str(bundle), *images, *given, "--save"]) == 0
    printed = capsys.readouterr()
    assert "| ink_wash |" in printed.out
    for note in (
        "domain ink_wash: left out 8, image of a label not in the vocabulary: unicorn/000.png, unicorn/001.png",
        "far images: 8 in folders of labels are left out, because they are not unknown",
    ):
        assert note in printed.err
    assert "1 outlier label is left out: labels of the student, or another spelling" in printed.err
    assert "targets/outliers.safetensors" in {file["path"] for file in verify_bundle(bundle)["files"]}
    outliers = TextTargets.load(bundle / "targets" / "outliers.safetensors")
    assert outliers.prompts == (("a photo of stork",), ("a photo of egret",))
    after = json.loads((bundle / "evaluation.json").read_text())
    assert after["id"] == before["id"]
    assert [(name, one["score"]) for name, one in after["none_of_these_by_score"].items()] == [
        ("energy", "energy"),
        ("outliers", "outliers"),
    ]
    assert [one["name"] for one in after["domains"]["ood"]["domains"]] == ["ink_wash", "oil"]
    assert {one["kind"] for one in after["corruptions"]["id"]["kinds"]} == set(kinds)
    assert after["corruptions"]["baseline"] is not None
    assert (bundle / "domains.png").is_file()
    assert "| oil |" in (bundle / "README.md").read_text()
    assert main(["evaluate", str(bundle), *images[:2], "--baseline", str(tmp_path / "closed" / "classifier")]) == 2
    assert "give --corruptions too" in capsys.readouterr().err


def test_the_threshold_is_that_of_the_bundle_for_its_own_labels(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({"text": "names", "none_of_these": {"threshold": 0.25}}))
    nothing: Any = dict.fromkeys(("far", "baseline", "trained_on")) | {"outliers": (), "domains": ()}
    for given, expected in ((None, 0.25), ("other labels", None)):
        arguments: Any = SimpleNamespace(bundle=tmp_path, given=given, corruption_images=0, **nothing)
        assert further_sets(arguments, None).threshold == expected


def test_outlier_labels_have_the_learned_vectors_of_the_labels(
    targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    """Both are compared with an image in one softmax, so that they need the same words before their names."""
    context = 0.02 * torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    (tmp_path / "targets").mkdir()
    with_context(tiny_teacher, targets, context).save(tmp_path / TARGETS)
    arguments: Any = SimpleNamespace(
        bundle=tmp_path, outliers=("crane",), prompt=PromptOptions(), cache=tmp_path / "cache"
    )
    texts = outlier_texts(arguments, tiny_teacher, Console(io.StringIO()), PipelineHooks())
    assert texts is not None
    expected = with_context(
        tiny_teacher, encode_text_targets(tiny_teacher, [["a photo of crane"]], cache=None), context
    )
    torch.testing.assert_close(texts.features, expected.features)


def test_other_labels_are_encoded_by_the_pairing_or_the_teacher(
    bundle: Path, tiny_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "images" / "heron", other / "heron")
    shutil.copytree(tmp_path / "images" / "crane", other / "woodpecker")
    (tmp_path / "other.txt").write_text("heron\nwoodpecker\n")
    given = ["evaluate", str(bundle), "--images", str(other), "--labels", str(tmp_path / "other.txt")]
    results = []
    for teacher in ([], ["--teacher", f"local-dir:{tiny_clip}"]):
        assert main([*given, *teacher, "--json", str(tmp_path / "e.json")]) == 0
        results.append(json.loads((tmp_path / "e.json").read_text()))
    assert results[0]["student"]["ood"]["accuracy"] == results[1]["student"]["ood"]["accuracy"]
    assert set(results[0]["student"]["ood"]["per_label"]) >= {"woodpecker"}
    assert [one["run"] for one in results[1]["teacher"]] == [f"local-dir:{tiny_clip}"]


def test_unusable_input_is_one_line(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = ["--images", str(tmp_path / "images")]
    (tmp_path / "labels2.txt").write_text("crane\nheron\n")
    training_only = tmp_path / "training"
    run = json.loads((tmp_path / "out" / "work" / "request.json").read_text())
    assert run["images"] == str(tmp_path / "images")
    for label in ("red_finch", "crane", "heron", "blue_jay"):
        shutil.copytree(tmp_path / "images" / label, training_only / label)
    styles, others = tmp_path / "styles", tmp_path / "others"
    (styles / "empty").mkdir(parents=True)
    shutil.copytree(tmp_path / "images" / "heron", others / "ink" / "unicorn")
    cases = [
        (["evaluate", str(tmp_path / "none"), *images], "is not a folder"),
        (["evaluate", str(tmp_path), *images], "is not a bundle"),
        (["evaluate", str(bundle), *images, "--concept", "bird"], "give --labels too"),
        (["evaluate", str(bundle), "--images", str(tmp_path / "empty")], 'there is no folder "empty"'),
        (["evaluate", str(bundle), *images, "--teacher", "nonsense"], 'no teacher is called "nonsense"'),
        (["evaluate", str(bundle), *images, "--domains", str(styles)], f"--domains {styles / 'empty'}: the folder has"),
        (
            ["evaluate", str(bundle), *images, "--domains", str(others)],
            "no label is called like its folders (unicorn): a",
        ),
        (["evaluate", str(bundle), *images, "--far", str(tmp_path / "images")], "give images of other things"),
        (
            ["evaluate", str(bundle), *images, "--outliers", str(tmp_path / "labels2.txt")],
            "names only labels of the",
        ),
    ]
    for argv, message in cases:
        assert main(argv) == 2
        error = capsys.readouterr().err.strip().splitlines()
        assert len(error) == 1
        assert message in error[0]
    shutil.rmtree(bundle / "pairing")
    assert main(["evaluate", str(bundle), *images, "--labels", str(tmp_path / "labels2.txt")]) == 2
    assert "give --teacher, or download the pairing/" in capsys.readouterr().err
    assert main(["evaluate", str(bundle), *images, "--outliers", str(tmp_path / "labels2.txt")]) == 2
    assert "--outliers need a text encoder: give --teacher, or download" in capsys.readouterr().err


@pytest.mark.image_input("Splits and evaluation", "a run with nothing to measure", "trains, and writes a bundle")
def test_a_run_on_all_images_delivers_an_unmeasured_student(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--split", '{"by": "all"}']) == 0
    printed = capsys.readouterr()
    assert "32 for training" in printed.err
    assert [line.split()[-2:] for line in printed.out.splitlines()[1:4]] == [["-", "-"]] * 3
    bundle = tmp_path / "out" / "bundle"
    assert json.loads((bundle / "evaluation.json").read_text())["id"] is None
    assert "The student was not evaluated." in (bundle / "README.md").read_text()
