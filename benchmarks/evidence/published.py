"""What each difference from the published code is worth: trains pairs of arms, writes the table of `docs/method.md`.

    python -m benchmarks.evidence.published --write docs        # three seeds, the validation group

Each row is a pair of trainings of the same seeds that differ in one thing. Results are kept in `--out` as by
`python -m benchmarks.evidence`.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.documents import put_part
from benchmarks.evidence.arms import ARMS, AS_PUBLISHED
from benchmarks.evidence.report import unseen_accuracy
from benchmarks.evidence.run import ArmRecord
from benchmarks.evidence.run_all import run_arms
from benchmarks.evidence.statistics import Mean, mean_of, verdict
from benchmarks.evidence.world import prepare
from distill import Stopped
from distill.cli.console import Console, duration

PART = "differences"
GROUP = "validation"
Accuracies = tuple[float, float]
"""On seen and on unseen labels."""


@dataclass(frozen=True)
class PublishedDifference:
    """`ours` and `published`: arms that differ in one thing, which `text` names."""

    text: str
    published: str
    ours: str


DIFFERENCES = (
    PublishedDifference("a view for each image, not one for a whole batch", "a view per batch", AS_PUBLISHED),
    PublishedDifference("timm's start, not torchvision's", AS_PUBLISHED, "timm's start"),
    PublishedDifference("bicubic images, the teacher's not by way of 256", AS_PUBLISHED, "bicubic"),
    PublishedDifference("without the last partial batch", AS_PUBLISHED, "last batch dropped"),
    PublishedDifference("the last three: `li2023_resnet_improved`", AS_PUBLISHED, "improved"),
    PublishedDifference("no gradient of L-vlalign through the teacher", "CoOp+vlalign as published", "CoOp+vlalign"),
)
SELECTION = "the last weights, not those of the epoch that is best on unseen labels"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 130 if it was stopped."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence.published", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated list of seeds")
    parser.add_argument("--out", type=Path, default=Path("evidence"), help="folder for images, caches and results")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="write the table of method.md to this folder")
    options = parser.parse_args(argv)
    names = dict.fromkeys(name for one in DIFFERENCES for name in (one.published, one.ours))
    seeds = [int(seed) for seed in options.seeds.split(",")]
    try:
        records = run_arms(
            [ARMS[name] for name in names], seeds, [GROUP], prepare(options.out), Console(sys.stderr), _line
        )
    except Stopped as stopped:
        print(f"stopped: {stopped}; run the same command again to resume", file=sys.stderr)
        return 130
    text = report(records, command=f"python -m benchmarks.evidence.published --seeds {options.seeds}")
    print(text)
    if options.write:
        put_part(options.write / "method.md", PART, text)
    return 0


def report(records: Sequence[ArmRecord], *, command: str) -> str:
    """The table: accuracy on seen and unseen labels on both sides, and the difference on unseen labels by seed."""
    by_arm: dict[str, list[ArmRecord]] = {}
    for record in records:
        by_arm.setdefault(record["arm"], []).append(record)
    rows = [
        _row(
            one.text,
            *([(_seen(found), _unseen(found)) for found in by_arm[name]] for name in (one.published, one.ours)),
        )
        for one in DIFFERENCES
    ]
    published = by_arm[AS_PUBLISHED]
    delivered = [(_seen(record), _unseen(record)) for record in published]
    selected = [
        (seen, max(value for value in record["epochs"] if value is not None))
        for record, (seen, _) in zip(published, delivered, strict=True)
    ]
    rows.append(_row(SELECTION, selected, delivered))
    seeds = ", ".join(dict.fromkeys(str(record["seed"]) for record in records))
    introduction = (
        f"Field guide, ResNet (`test_resnet`) at 32 px, validation group, seeds {seeds}, by `{command}`: "
        f"{duration(sum(record['seconds'] for record in records))} in total on {records[0]['machine']}. After ±: half "
        "of the 95% interval by Student's t over seeds; the difference is taken seed by seed."
    )
    head = "| ours | unseen, as published | unseen, ours | difference | seen, as published | seen, ours | verdict |"
    return "\n".join([introduction, "", head, "|---|---|---|---|---|---|---|", *rows])


def _row(text: str, published: Sequence[Accuracies], ours: Sequence[Accuracies]) -> str:
    """A row, from the accuracies of each seed on both sides."""
    differences = [own - theirs for (_, theirs), (_, own) in zip(published, ours, strict=True)]
    change = mean_of(differences)
    points = f"{100 * change.value:+.1f}" + ("" if change.half is None else f" ± {100 * change.half:.1f}")
    shown = [_shown(mean_of([one[at] for one in side])) for at in (1, 0) for side in (published, ours)]
    return f"| {text} | {shown[0]} | {shown[1]} | {points} points | {shown[2]} | {shown[3]} | {verdict(differences)} |"


def _unseen(record: ArmRecord) -> float:
    value = unseen_accuracy(record, GROUP)
    assert value is not None
    return value


def _seen(record: ArmRecord) -> float:
    part = record["groups"][GROUP]["id"]
    assert part is not None
    return part["accuracy"]


def _shown(mean: Mean) -> str:
    return f"{mean.value:.1%}" + ("" if mean.half is None else f" ± {100 * mean.half:.1f}")


def _line(record: ArmRecord) -> str:
    return f"{record['arm']}, seed {record['seed']}: unseen {_unseen(record):.1%}, {duration(record['seconds'])}"


if __name__ == "__main__":
    sys.exit(main())
