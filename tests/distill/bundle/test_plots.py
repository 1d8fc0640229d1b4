"""The pictures show what they are given, whatever the labels are called."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.bundle.plots import COLOURS, draw_accuracy, draw_confusions, draw_loss, draw_reliability, read_curve


def coloured(path: Path, colour: str) -> int:
    """How many pixels of a PNG have just this colour."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((np.asarray(Image.open(path).convert("RGB")) == wanted).all(axis=-1).sum())


def part(values: dict[str, float]) -> dict[str, object]:
    return {"per_label": values, "accuracy": sum(values.values()) / len(values), "chance": 1 / len(values)}


def test_the_curve_is_read_from_the_lines_that_have_one(tmp_path: Path) -> None:
    lines = [
        json.dumps({"step": 1, "loss": 3.0, "losses": {"cls": 2.0, "mse": 1.0}}),
        json.dumps({"step": 2, "loss": 2.0, "losses": {"cls": 1.5, "mse": None}}),
        json.dumps({"step": 2, "accuracy": 0.5}),
        json.dumps({"step": True, "loss": 1.0}),
        "[]",
        '{"step": 3, "lo',
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert read_curve(tmp_path / "log.jsonl") == {
        "loss": [(1.0, 3.0), (2.0, 2.0)],
        "cls": [(1.0, 2.0), (2.0, 1.5)],
        "mse": [(1.0, 1.0)],
    }


def test_a_loss_curve_is_drawn_and_an_empty_one_says_so(tmp_path: Path) -> None:
    draw_loss({"loss": [(float(n), 1 / n) for n in range(1, 9000)]}, tmp_path / "loss.png")
    draw_loss({}, tmp_path / "none.png")
    dark = [int((np.asarray(Image.open(tmp_path / name).convert("L")) < 80).sum()) for name in ("loss.png", "none.png")]
    assert dark[0] > dark[1] > 0


@pytest.mark.parametrize("count", [5, 200])
def test_bars_are_as_long_as_the_labels_are_accurate(tmp_path: Path, count: int) -> None:
    for name, value in (("low", 0.2), ("high", 0.8)):
        draw_accuracy({"id": part({f"label {n}": value for n in range(count)})}, tmp_path / f"{name}.png")
    low, high = (coloured(tmp_path / f"{name}.png", COLOURS["id"]) for name in ("low", "high"))
    assert 3 < high / low < 5


def test_each_part_has_its_panel(tmp_path: Path) -> None:
    both = {"id": part({"a": 1.0}), "ood": part({"b": 1.0})}
    draw_accuracy(both, tmp_path / "both.png")
    draw_accuracy({"ood": both["ood"], "id": {}}, tmp_path / "one.png")
    assert all(coloured(tmp_path / "both.png", colour) for colour in COLOURS.values())
    assert coloured(tmp_path / "one.png", COLOURS["ood"])
    assert not coloured(tmp_path / "one.png", COLOURS["id"])
    assert (
        np.asarray(Image.open(tmp_path / "one.png")).shape[1] < np.asarray(Image.open(tmp_path / "both.png")).shape[1]
    )


def test_any_label_can_be_drawn(tmp_path: Path) -> None:
    names = ["$x_{1^$", "青い鳥", "line\nbreak", "\x07bell", "x" * 500, "\\frac{1}{", "👩‍👩‍👧"]
    draw_accuracy({"ood": part(dict.fromkeys(names, 0.5))}, tmp_path / "names.png")
    assert coloured(tmp_path / "names.png", COLOURS["ood"])


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw_accuracy({"id": part({"a": 0.25, "b": 0.75})}, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_nothing_evaluated_is_said(tmp_path: Path) -> None:
    draw_accuracy({}, tmp_path / "none.png")
    assert (np.asarray(Image.open(tmp_path / "none.png").convert("L")) < 80).any()


def reliable(*points: tuple[float, float, int]) -> dict[str, object]:
    bins = [{"confidence": sure, "accuracy": right, "num_images": many} for sure, right, many in points]
    return {"calibration": {"error": 0.1, "num_bins": 15, "temperature": 0.07, "bins": bins}}


def test_reliability_lies_where_accuracy_and_confidence_say(tmp_path: Path) -> None:
    heights = []
    for name, right in (("low", 0.1), ("high", 0.7)):
        draw_reliability({"ood": reliable((0.6, right, 5))}, tmp_path / f"{name}.png")
        drawn = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) == (0xC2, 0x57, 0x1A)
        # Below the legend, whose own mark has the colour too.
        heights.append(np.flatnonzero(drawn.all(axis=-1)[90:].any(axis=1)).max())
    assert heights[0] - heights[1] > 200
    draw_reliability({"id": reliable((0.6, 0.5, 5)), "ood": reliable((0.2, 0.5, 5))}, tmp_path / "both.png")
    assert all(coloured(tmp_path / "both.png", colour) for colour in COLOURS.values())
    draw_reliability({}, tmp_path / "none.png")


def test_confusions_are_as_long_as_their_share(tmp_path: Path) -> None:
    for name, share in (("low", 0.2), ("high", 0.8)):
        pairs = [{"label": f"$a{n}", "taken_for": "青い鳥", "num_images": 3, "share": share} for n in range(4)]
        draw_confusions({"id": {"confusions": pairs}, "ood": {"confusions": []}}, tmp_path / f"{name}.png")
    low, high = (coloured(tmp_path / f"{name}.png", COLOURS["id"]) for name in ("low", "high"))
    assert 3 < high / low < 5
    draw_confusions({"id": {"confusions": []}}, tmp_path / "none.png")
    assert (np.asarray(Image.open(tmp_path / "none.png").convert("L")) < 80).any()
