"""`python -m distill.benefit`: the files it writes and its exit codes."""

import json
from pathlib import Path

import pytest

from distill.benefit.__main__ import main
from distill.data.image_index import ImageIndex
from tests.distill.examples import ATTRIBUTES, LABELS, SPLIT_BY_LIST


@pytest.mark.slow
def test_command_writes_the_report_and_refuses_bad_input(
    image_index: ImageIndex, tiny_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    phrases = {label: list(one.phrases) for label, one in zip(LABELS, ATTRIBUTES, strict=True)}
    (tmp_path / "set.json").write_text(json.dumps(phrases))
    options = {
        "--images": str(tmp_path / "images"),
        "--labels": str(tmp_path / "labels.txt"),
        "--attributes": str(tmp_path / "set.json"),
        "--teacher": f"local-dir:{tiny_clip}",
        "--split": json.dumps(SPLIT_BY_LIST),
        "--out": str(tmp_path / "proof"),
    }
    assert main([word for option in options.items() for word in option]) == 0
    assert "| phrases" in capsys.readouterr().out.replace("**", "")
    assert (tmp_path / "proof" / "proof.png").read_bytes().startswith(b"\x89PNG")
    options["--labels"] = str(tmp_path / "missing.txt")
    assert main([word for option in options.items() for word in option]) == 2
    assert "missing.txt cannot be read" in capsys.readouterr().err
