"""The plots show the given numbers, for any label names."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill.bundle.card.plots import (
    COLOURS,
    MAX_BARS,
    NUM_BEST,
    NUM_WORST,
    bar_rows,
    draw_accuracy,
    draw_confusions,
    draw_loss,
    draw_reliability,
    read_curve,
)


def count_pixels(path: Path, colour: str) -> int:
    """Number of pixels of a PNG with exactly this colour."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((np.asarray(Image.open(path).convert("RGB")) == wanted).all(axis=-1).sum())


def part(values: dict[str, float]) -> dict[str, object]:
    return {"per_label": values, "accuracy": sum(values.values()) / len(values), "chance": 1 / len(values)}


def test_curves_are_read_from_lines_with_step_and_loss(tmp_path: Path) -> None:
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


def test_loss_curve_and_empty_plot_with_a_note(tmp_path: Path) -> None:
    draw_loss({"loss": [(float(n), 1 / n) for n in range(1, 9000)]}, tmp_path / "loss.png")
    draw_loss({}, tmp_path / "none.png")
    dark = [int((np.asarray(Image.open(tmp_path / name).convert("L")) < 80).sum()) for name in ("loss.png", "none.png")]
    assert dark[0] > dark[1] > 0


def test_bar_length_is_the_accuracy(tmp_path: Path) -> None:
    for name, value in (("low", 0.2), ("high", 0.8)):
        draw_accuracy({"id": part({f"label {n}": value for n in range(5)})}, tmp_path / f"{name}.png")
    low, high = (count_pixels(tmp_path / f"{name}.png", COLOURS["id"]) for name in ("low", "high"))
    assert 3 < high / low < 5


def test_of_many_labels_the_worst_and_the_best_are_named() -> None:
    names = [f"label {n:03}" for n in range(500)]
    rows = bar_rows({"per_label": {name: n / 499 for n, name in enumerate(names)}})
    assert [row and row[0] for row in rows] == [*names[: -NUM_BEST - 1 : -1], None, *names[NUM_WORST - 1 :: -1]]
    few = bar_rows({"per_label": dict.fromkeys(names[:MAX_BARS], 0.5)})
    assert len(few) == MAX_BARS
    assert None not in few


def test_the_plot_of_many_labels_is_as_large_as_that_of_some(tmp_path: Path) -> None:
    for count in (60, 500):
        values = {f"label {n}": n % 10 / 10 for n in range(count)}
        draw_accuracy({"ood": part(values)}, tmp_path / f"{count}.png")
    heights = {len(np.asarray(Image.open(tmp_path / f"{count}.png"))) for count in (60, 500)}
    assert len(heights) == 1
    assert heights.pop() < 1200


def test_one_panel_per_part(tmp_path: Path) -> None:
    both = {"id": part({"a": 1.0}), "ood": part({"b": 1.0})}
    draw_accuracy(both, tmp_path / "both.png")
    draw_accuracy({"ood": both["ood"], "id": {}}, tmp_path / "one.png")
    assert all(count_pixels(tmp_path / "both.png", colour) for colour in COLOURS.values())
    assert count_pixels(tmp_path / "one.png", COLOURS["ood"])
    assert not count_pixels(tmp_path / "one.png", COLOURS["id"])
    assert (
        np.asarray(Image.open(tmp_path / "one.png")).shape[1] < np.asarray(Image.open(tmp_path / "both.png")).shape[1]
    )


def test_any_label_name_can_be_drawn(tmp_path: Path) -> None:
    names = ["$x_{1^$", "青い鳥", "line\nbreak", "\x07bell", "x" * 500, "\\frac{1}{", "👩‍👩‍👧", "طائر"]
    draw_accuracy({"ood": part(dict.fromkeys(names, 0.5))}, tmp_path / "names.png")
    assert count_pixels(tmp_path / "names.png", COLOURS["ood"])


def test_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw_accuracy({"id": part({"a": 0.25, "b": 0.75})}, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_empty_accuracy_plot_has_a_note(tmp_path: Path) -> None:
    draw_accuracy({}, tmp_path / "none.png")
    assert (np.asarray(Image.open(tmp_path / "none.png").convert("L")) < 80).any()


def part_with_bins(*points: tuple[float, float, int]) -> dict[str, object]:
    bins = [
        {"confidence": confidence, "accuracy": accuracy, "num_images": num_images}
        for confidence, accuracy, num_images in points
    ]
    return {"calibration": {"error": 0.1, "num_bins": 15, "temperature": 0.07, "bins": bins}}


@pytest.mark.slow
def test_reliability_points_lie_at_confidence_and_accuracy(tmp_path: Path) -> None:
    heights = []
    for name, right in (("low", 0.1), ("high", 0.7)):
        draw_reliability({"ood": part_with_bins((0.6, right, 5))}, tmp_path / f"{name}.png")
        drawn = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB")) == (0xC2, 0x57, 0x1A)
        # Below the legend, whose marker has the same colour.
        heights.append(np.flatnonzero(drawn.all(axis=-1)[90:].any(axis=1)).max())
    assert heights[0] - heights[1] > 200
    draw_reliability({"id": part_with_bins((0.6, 0.5, 5)), "ood": part_with_bins((0.2, 0.5, 5))}, tmp_path / "both.png")
    assert all(count_pixels(tmp_path / "both.png", colour) for colour in COLOURS.values())
    draw_reliability({}, tmp_path / "none.png")


def test_confusion_bar_length_is_the_share(tmp_path: Path) -> None:
    for name, share in (("low", 0.2), ("high", 0.8)):
        pairs = [{"label": f"$a{n}", "taken_for": "青い鳥", "num_images": 3, "share": share} for n in range(4)]
        draw_confusions({"id": {"confusions": pairs}, "ood": {"confusions": []}}, tmp_path / f"{name}.png")
    low, high = (count_pixels(tmp_path / f"{name}.png", COLOURS["id"]) for name in ("low", "high"))
    assert 3 < high / low < 5
    draw_confusions({"id": {"confusions": []}}, tmp_path / "none.png")
    assert (np.asarray(Image.open(tmp_path / "none.png").convert("L")) < 80).any()
