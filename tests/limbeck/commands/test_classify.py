"""`limbeck classify`."""

import json
from pathlib import Path

import pytest

from limbeck.cli import main

Capture = pytest.CaptureFixture[str]


def test_the_command_prints_one_line_per_image(bundle: Path, red: Path, blue: Path, capsys: Capture) -> None:
    command = ["classify", "--checkpoint", str(bundle), "--top", "1", "--json", str(red), str(blue)]
    assert main(command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["labels"][0]["label"] for line in lines] == ["red thing", "blue thing"]


def test_an_unreadable_image_does_not_stop_the_others(bundle: Path, red: Path, capsys: Capture) -> None:
    broken = bundle / "broken.png"
    broken.write_bytes(b"not an image")
    assert main(["classify", "--checkpoint", str(bundle), str(broken), str(red)]) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{red}: red thing")
    assert f"limbeck: {broken}" in printed.err
    assert printed.err.endswith("limbeck: 1 of 2 images could not be read\n")
