"""Unusable arguments of `python -m distill`: one line on standard error and exit code 2."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from distill.cli.arguments import argument_parser, read_arguments, read_folder_map, validate_arguments
from distill.cli.train_process import main
from limbeck.shared import parts
from limbeck.shared.exit_codes import PART_MISSING


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--student", "resnet81"], "error: no student is called .resnet81.; closest: resnet18"),
        (["--teacher", "ViT-B-32:nobody"], "error: no teacher is called"),
        (["--teacher", "local-dir:nowhere"], "error: .*nowhere"),
        (["--labels", "missing.txt"], "error: missing.txt cannot be read"),
        (["--label2text", "missing.txt"], "error: give either --labels or --label2text"),
        (["--sentences", "missing.txt"], "error: --sentences needs --label2text, and replaces --attributes"),
        (["--images", "missing"], "error: there is no folder"),
        (["--set", "epochs"], "error: --set .epochs. is not of the form"),
        (["--set", "epochs=0"], "error: epochs: "),
        (["--set", "schedule.epochs=0"], "error: schedule.epochs: "),
        (["--set", "schedule=cosin"], "error: schedule: Input should be .step."),
        (["--set", "shedule.epochs=3"], "error: shedule: no setting is called .shedule.; closest: schedule, seed$"),
        (["--set", "losses.clss=1"], "error: losses.clss: no loss is called .clss.; closest: cls"),
        (["--set", "epochs=2", "--set", "epochs.x=1"], "error: epochs: Input should be a valid integer"),
        (["--set", "schedule.=3"], "error: --set .schedule.=3. is not of the form"),
        (["--set", "milestones=[3,2]"], r"error: milestones \[3, 2\] must be epochs that rise"),
        (["--split", "{"], "error: --split is not JSON"),
        (["--split", '{"by":"moon"}'], "error: .*moon"),
        (["--split", '{"by":"list","id":["crane","heron"],"ood":["heron"]}'], "error: .heron.: a label is either"),
        (
            ["--set", "protocol=fine_tune", "--set", "shots=1"],
            "error: protocol fine_tune .* bundle by --start",
        ),
        (["--log-to", "wandb,sacred"], "error: --log-to: there is no logger 'sacred': choose from tensorboard, wandb"),
        (["--start", "."], "error: --start is for protocol fine_tune"),
        (["--start", ".", "--set", "protocol=fine_tune", "--set", "shots=1"], "error: --start . holds no manifest"),
        (["--source", '{"layout": "table"}'], "error: the folder has no table of images"),
        (["--source", '{"columns": {"label": -1}}'], "error: columns.label"),
        (["--captions", "nowhere"], "error: --captions nowhere cannot be read"),
        (["--set", "losses.cap=1"], "error: losses.cap has a weight, but none of 12 images has a caption"),
        (["--set", "protocol=retrieval", "--set", "shots=8"], "error: each OOD label needs 8 shots and an image"),
        (
            ["--student", "edgenext_xx_small", "--set", "image_px=24"],
            "error: edgenext_xx_small does not support images",
        ),
    ],
)
def test_unusable_input_is_one_line_and_exit_code_2(
    command: list[str], options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *options]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert re.search(message, lines[-1]), lines[-1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--student", "resnet18", "--set", "student.image_px=32"], {"student": "resnet18", "image_px": 32}),
        (["--set", "student.image_px=32", "--set", "student=resnet18"], {"student": "resnet18", "image_px": 32}),
        (["--set", "schedule=step", "--set", "schedule.epochs=2"], {"schedule": "step", "epochs": 2}),
        (["--set", 'schedule={"epochs":2}', "--set", "schedule=step"], {"schedule": "step", "epochs": 2}),
        (["--set", "epochs=2", "--set", "schedule.epochs=3"], {"epochs": 3}),
        (["--set", "schedule.epochs=3", "--set", "epochs=2"], {"epochs": 2}),
    ],
)
def test_short_and_long_names_of_settings_can_be_mixed_and_the_last_counts(
    command: list[str], options: list[str], expected: dict[str, object]
) -> None:
    namespace = argument_parser("distill", "").parse_args([*command, *options])
    settings = validate_arguments(namespace).config.flat()
    assert {name: settings[name] for name in expected} == expected


def test_loss_weights_by_short_and_long_names_are_merged(command: list[str]) -> None:
    options = ["--set", "losses.mse=0", "--set", "objective.losses.cls=0"]
    namespace = argument_parser("distill", "").parse_args([*command, *options])
    assert validate_arguments(namespace).config.objective.losses.above_zero() == {"im_cst": 1.0}


def test_attribute_text_needs_attributes(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    without = command[: command.index("--attributes")] + command[command.index("--text") :]
    assert main(without) == 2
    assert "--text phrases needs --attributes" in capsys.readouterr().err


def test_a_text_that_no_label_has_is_refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    command[command.index("--text") + 1] = "sentence"  # the file has phrases
    assert main(command) == 2
    assert 'no label has attributes for the text "sentence": choose "phrases"' in capsys.readouterr().err


def test_label2text_gives_labels_sentences_and_the_folder_map(
    tmp_path: Path, tiny_clip: Path, make_images: Callable[..., list[Path]]
) -> None:
    folders = ("n02012849", "n03126707", "n02119789", "n02100735")
    for at, folder in enumerate(folders):
        make_images(tmp_path / "images" / folder, 4, seed=at)
    names = ("crane", "crane", "kit_fox", "English_setter")
    rows = [f"{folder} {at} {name}" for at, (folder, name) in enumerate(zip(folders, names, strict=True), start=1)]
    (tmp_path / "l.txt").write_text("\n".join(rows))
    (tmp_path / "s.txt").write_text("A grey bird.\nA steel boom.\nA small fox.\nA white dog.\n")
    argv = ["--images", str(tmp_path / "images"), "--label2text", str(tmp_path / "l.txt"), "--out", str(tmp_path / "o")]
    argv += ["--sentences", str(tmp_path / "s.txt"), "--teacher", f"local-dir:{tiny_clip}", "--student", "test_resnet"]
    arguments = read_arguments([*argv, "--set", "image_px=32"])
    assert arguments.labels == ["crane (n02012849)", "crane (n03126707)", "kit fox", "English setter"]
    assert arguments.names == ["crane", "crane", "kit fox", "English setter"]
    assert (arguments.text, arguments.lines[1][0]["text"]) == ("sentence", "A steel boom.")
    assert sum(arguments.image_index.counts[part] for part in ("id_labels", "ood_labels")) == 4
    assert any("its senses are taken from the folders" in note for note in arguments.notes)


@pytest.mark.image_input(
    "Published datasets",
    "folders named by WordNet ids, with a label file that has the ids",
    "the ids of the label file match the folders; no file of words is needed",
)
def test_ids_of_the_label_file_match_folders(
    command: list[str], tmp_path: Path, make_images: Callable[..., list[Path]]
) -> None:
    (tmp_path / "ids.txt").write_text("n01440764 tench, Tinca tinca\nn02012849 crane\nn01443537 goldfish\n")
    for at, wnid in enumerate(("n01440764", "n02012849", "n01443537")):
        make_images(tmp_path / "by_id" / wnid, 4, seed=at)
    options = ["--images", str(tmp_path / "by_id"), "--labels", str(tmp_path / "ids.txt"), "--text", "names"]
    options += ["--source", '{"labels": ["Tinca tinca", "crane"]}', "--split", '{"by": "seed", "id_fraction": 1}']
    start = command.index("--attributes")
    arguments = read_arguments([*command[:start], *command[start + 2 :], *options])
    assert arguments.labels == ["tench", "crane", "goldfish"]
    assert arguments.image_index.id_labels == (0, 1)


@pytest.mark.parametrize("text", ['["crane"]', '{"012.Crane": ["crane"]}', "17"])
def test_folder_map_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "map.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="map.json must be an object of folder -> label"):
        read_folder_map(file, {})


def test_a_logger_that_is_not_installed_ends_the_command_before_it_starts(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_arguments([*command, "--log-to", "mlflow, tensorboard"]).loggers == ("tensorboard", "mlflow")
    assert read_arguments([*command, "--log-to", ""]).loggers == ()
    monkeypatch.setattr(parts, "_is_found", lambda module: module != "wandb")
    with pytest.raises(SystemExit) as ended:
        main([*command, "--log-to", "wandb"])
    assert ended.value.code == PART_MISSING
    message = capsys.readouterr().err
    assert message.startswith("python -m distill: wandb is not installed; install the part 'wandb' with: pip install")
    assert message.count("\n") == 1


def test_only_matching_uses_labels_with_a_folder_and_folders_with_a_label(command: list[str]) -> None:
    labels = Path(command[command.index("--labels") + 1])
    names = labels.read_text(encoding="utf-8").splitlines()
    labels.write_text("\n".join(["dodo", *names[:-1]]) + "\n", encoding="utf-8")
    arguments = read_arguments([*command, "--only-matching"])
    assert arguments.labels == names[:-1]
    assert arguments.names == names[:-1]
    assert any("have no images, and are left out" in note for note in arguments.notes)
