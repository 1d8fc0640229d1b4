"""The table of differences from the published code: each row compares two arms seed by seed."""

from typing import Any

from benchmarks.evidence.arms import ARMS
from benchmarks.evidence.published import DIFFERENCES, report


def record(arm: str, seed: int, unseen: float, epochs: list[float | None]) -> Any:
    part = {"accuracy": 0.9 + seed / 100}
    evaluation = {"id": part, "ood": {"accuracy": unseen}}
    return {"arm": arm, "seed": seed, "groups": {"validation": evaluation}, "epochs": epochs, "seconds": 30.0} | {
        "machine": "a machine"
    }


def test_each_pair_differs_in_what_its_row_names() -> None:
    for one in DIFFERENCES:
        ours, published = ARMS[one.ours].config(0).flat(), ARMS[one.published].config(0).flat()
        changed = {name for name, value in ours.items() if value != published[name]}
        assert changed, one.text
        assert ARMS[one.ours].num_images == ARMS[one.published].num_images
    changed_by = {one.ours: one for one in DIFFERENCES}
    coop = changed_by["CoOp+vlalign"]
    ours, published = ARMS[coop.ours].config(0).flat(), ARMS[coop.published].config(0).flat()
    assert {name for name in ours if ours[name] != published[name]} == {"vlalign_teacher_gradient"}


def test_rows_have_both_sides_and_the_difference_by_seed() -> None:
    unseen = {"li2023_resnet": (0.5, 0.6), "improved": (0.7, 0.9), "a view per batch": (0.4, 0.5)}
    records = [
        record(name, seed, unseen.get(name, (0.5, 0.5))[seed], [0.1, None, 0.65, 0.3])
        for name in dict.fromkeys(name for one in DIFFERENCES for name in (one.published, one.ours))
        for seed in range(2)
    ]
    text = report(records, command="the command")
    rows = {row.split(" | ")[0].strip("| "): row for row in text.splitlines() if row.startswith("| ")}
    # Of two seeds, half of the interval is 12.706 deviations / sqrt(2), which is 12.706 halves of their difference.
    improved = "55.0% ± 63.5 | 80.0% ± 127.1 | +25.0 ± 63.5 points | 90.5% ± 6.4 | 90.5% ± 6.4 | not decided"
    assert improved in rows["the last three: `li2023_resnet_improved`"]
    per_image = rows["a view for each image, not one for a whole batch"]
    assert "| 45.0% ± 63.5 | 55.0% ± 63.5 | +10.0 ± 0.0 points |" in per_image
    assert per_image.endswith("| confirmed |")
    selection = rows["the last weights, not those of the epoch that is best on unseen labels"]
    assert "| 65.0% ± 0.0 | 55.0% ± 63.5 | -10.0 ± 63.5 points |" in selection
    assert "by `the command`: 8 min 0 s in total on a machine." in text
