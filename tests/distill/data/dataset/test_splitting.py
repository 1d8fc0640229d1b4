"""Splits by the parts that a layout gives."""

from pathlib import Path

import pytest

from tests.distill.data.helpers_index import create, scan_error, scan_with


@pytest.mark.image_input(
    "Splits and evaluation",
    "a part to measure on that no image has, such as a misspelled one",
    "refused, also beside others that are there; upper and lower case are the same",
)
def test_parts_to_measure_on_must_be_there(tmp_path: Path) -> None:
    create(tmp_path, *(f"{part}/{label}/0.jpg" for part in ("train", "Test", "val") for label in ("crane", "blue jay")))
    index = scan_with(tmp_path, {"by": "parts", "measure": ["TEST"]})
    assert {item.path.split("/")[0] for item in index if item.part == "held_out"} == {"Test"}
    error = scan_error(tmp_path, {"by": "parts", "measure": ["test", "tset"]})
    assert (error.code, error.pointer) == ("no_such_folder", "/split/measure/1")
    assert 'no image is in a part "tset": the parts are "test", "train", "val"' in error.detail
