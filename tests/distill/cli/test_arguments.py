"""Unusable arguments of `python -m distill`: one line on standard error and exit code 2."""

import re

import pytest

from distill.__main__ import main


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--student", "resnet81"], "error: no student is called .resnet81.; closest: resnet18"),
        (["--teacher", "ViT-B-32:nobody"], "error: no teacher is called"),
        (["--teacher", "local-dir:nowhere"], "error: .*nowhere"),
        (["--labels", "missing.txt"], "error: missing.txt cannot be read"),
        (["--images", "missing"], "error: there is no folder"),
        (["--set", "epochs"], "error: --set .epochs. is not of the form"),
        (["--set", "epochs=0"], "error: epochs: "),
        (["--set", "losses.clss=1"], "error: losses.clss: "),
        (["--split", "{"], "error: --split is not JSON"),
        (["--split", '{"by":"moon"}'], "error: .*moon"),
        (["--split", '{"by":"list","id":["crane","heron"],"ood":["heron"]}'], "error: .heron.: a label is either"),
        (
            ["--set", "protocol=fine_tune", "--set", "shots=1"],
            "error: protocol fine_tune .* bundle by --start",
        ),
        (["--start", "."], "error: --start is for protocol fine_tune"),
        (["--start", ".", "--set", "protocol=fine_tune", "--set", "shots=1"], "error: --start . holds no manifest"),
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


def test_attribute_text_needs_attributes(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    without = command[: command.index("--attributes")] + command[command.index("--text") :]
    assert main(without) == 2
    assert "--text phrases needs --attributes" in capsys.readouterr().err
