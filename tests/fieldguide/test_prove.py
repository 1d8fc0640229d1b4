"""What the proof on the field guide leaves in the documents."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.documents import put_part
from examples.fieldguide.prove import main, write
from limbeck.commands.prove import proof_table

GAIN = {"mean": 0.5, "images": [0.4, 0.6], "labels": [0.3, 0.7]}


def result(accuracy: float, over: Any) -> dict[str, Any]:
    return {"accuracy": accuracy, "draws": [accuracy], "over_names": GAIN, "over_control": over}


PROOF: dict[str, Any] = {
    "num_images": {"id": 10, "ood": 20},
    "num_labels": {"id": 5, "ood": 4},
    "chance": {"id": 0.2, "ood": 0.25},
    "arms": [
        {"name": "waffle", "role": "control", "num_texts": 9, "id": result(0.3, None), "ood": result(0.3, None)},
        {"name": "phrases", "role": "attributes", "num_texts": 9, "id": result(0.8, GAIN), "ood": result(0.8, GAIN)},
    ],
    "chosen": "phrases",
    "seeds": [0, 1],
    "verdict": "The attributes help beyond Waffle.",
    "filtered": {"dropped": {"0": ["a"]}, "before": 0.8, "after": 0.9, "refused": ""},
}


def test_a_part_is_replaced_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "evidence.md"
    put_part(path, "one", "# One\nfirst")
    put_part(path, "two", "# Two")
    before = path.read_text()
    put_part(path, "one", "# One\nsecond")
    assert path.read_text() == before.replace("first", "second")
    put_part(path, "one", "# One\nfirst")
    assert path.read_text() == before


def test_the_document_has_verdict_table_and_picture(tmp_path: Path) -> None:
    write(PROOF, tmp_path)
    said = (tmp_path / "evidence.md").read_text()
    assert "**The attributes help beyond Waffle.**" in said
    assert "| **phrases** | 9 | 80.0 | 80.0 | +50.0 [+30.0, +70.0] | +50.0 [+30.0, +70.0] |" in said
    assert "1 phrases of seen labels go, held-out accuracy by phrases 80.0% before and 90.0% after" in said
    assert (tmp_path / "evidence-attributes.png").read_bytes().startswith(b"\x89PNG")
    assert proof_table(PROOF).row_count == 3


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path)]) == 2
    assert "give --out another folder" in capsys.readouterr().err
