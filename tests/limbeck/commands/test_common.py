"""Options of the form field=value."""

from typing import Any

import pytest

from limbeck.commands.common import BadInput, assignments


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ([], {}),
        (["epochs=10", "losses.mse=0", "losses.cls=0.5"], {"epochs": 10, "losses": {"mse": 0, "cls": 0.5}}),
        (["milestones=[3, 6]", "student=resnet18"], {"milestones": [3, 6], "student": "resnet18"}),
        (["a=b=c", "empty="], {"a": "b=c", "empty": ""}),
    ],
)
def test_assignments_are_nested_and_parsed_as_json(given: list[str], fields: dict[str, Any]) -> None:
    assert assignments(given, "--set") == fields


@pytest.mark.parametrize("given", [["=1"], ["a..b=1"], ["losses=1", "losses.mse=0"]])
def test_invalid_assignments_are_rejected(given: list[str]) -> None:
    with pytest.raises(BadInput, match="--set"):
        assignments(given, "--set")
