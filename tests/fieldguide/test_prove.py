"""The section of `evidence.md` that the proof on the field guide writes."""

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


def test_put_part_replaces_only_its_part(tmp_path: Path) -> None:
    path = tmp_path / "evidence.md"
    put_part(path, "one", "# One\nfirst")
    put_part(path, "two", "# Two")
    before = path.read_text()
    put_part(path, "one", "# One\nsecond")
    assert path.read_text() == before.replace("first", "second")
    put_part(path, "one", "# One\nfirst")
    assert path.read_text() == before


def test_the_document_has_verdict_table_and_chart(tmp_path: Path) -> None:
    write(PROOF, tmp_path)
    document = (tmp_path / "evidence.md").read_text()
    assert "**The attributes help beyond Waffle.**" in document
    assert "| **phrases** | 9 | 80.0 | 80.0 | +50.0 [+30.0, +70.0] | +50.0 [+30.0, +70.0] |" in document
    assert (
        "1 phrase of seen labels is removed; held-out accuracy by phrases is 80.0% before and 90.0% after" in document
    )
    assert (tmp_path / "evidence-attributes.png").read_bytes().startswith(b"\x89PNG")
    assert proof_table(PROOF).row_count == 3


def test_an_existing_folder_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path)]) == 2
    assert "choose another folder with --out" in capsys.readouterr().err
