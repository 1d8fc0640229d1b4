"""The evidence: arms differ as their titles say, finished arms are not repeated, and the report is correct."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.documents import put_part
from benchmarks.evidence import arms, run, world
from benchmarks.evidence.__main__ import main
from benchmarks.evidence.arms import ARMS, TrainingArm, only_losses
from benchmarks.evidence.claims import CLAIMS
from benchmarks.evidence.report import PLOT, SECTIONS, paired_differences, write_report
from benchmarks.evidence.statistics import mean_of, verdict
from benchmarks.evidence.world import World, prepare
from distill import Stopped
from distill.config.loss_registry import LOSS_TERMS
from distill.training.hooks import TrainHooks
from examples.fieldguide.world import species

TINY = {
    "student": "test_resnet",
    "image_px": 32,
    "epochs": 2,
    "batch_size": 8,
    "threads": 1,
    "device": "cpu",
    "num_workers": 1,
    "measured_epochs": 1,
}


def test_every_arm_is_a_different_training() -> None:
    configs = {name: (arm.config(0), arm.text, arm.starts_from) for name, arm in ARMS.items()}
    assert len({repr(each) for each in configs.values()}) == len(ARMS)
    for name, arm in ARMS.items():
        assert arm.config(3).system.seed == 3
        assert arm.section in SECTIONS, name
        assert arm.starts_from is None or arm.starts_from in ARMS
        assert "," not in name
    assert set(configs["cls+mse"][0].objective.losses.above_zero()) == {"cls", "mse"}
    for claim in CLAIMS:
        assert {claim.better, claim.worse} <= ARMS.keys(), claim.text
    assert {name for name, weight in only_losses("cls", "icl").items() if weight} == {"cls", "icl"} <= LOSS_TERMS.keys()


def test_interval_of_students_t() -> None:
    mean = mean_of([0.5, 0.6, 0.7])
    assert mean.value == pytest.approx(0.6)
    assert mean.half == pytest.approx(4.303 * 0.1 / 3**0.5)
    assert mean_of([0.4]).half is None
    assert verdict([0.1, 0.11, 0.12]) == "confirmed"
    assert verdict([-0.1, -0.11, -0.12]).startswith("refuted")
    assert verdict([0.1, -0.05, 0.02]).startswith("not decided")
    assert verdict([0.3]) == "not decided: only one seed"
    with pytest.raises(ValueError, match="at least one value"):
        mean_of([])


def test_digest_ignores_comments_and_docstrings() -> None:
    plain = run._without_docstrings('"""Module."""\ndef f(x: int) -> int:\n    """Doc."""\n    return x + 1  # why\n')
    assert plain == run._without_docstrings("def f(x: int) -> int:\n    return x + 1\n")
    assert plain != run._without_docstrings("def f(x: int) -> int:\n    return x + 2\n")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A field guide of three species per group with a few images each, and very short arms."""
    few = [one for group in ("train", "validation", "test") for one in species(group)[:3]]
    with pytest.MonkeyPatch.context() as patch:
        listed = lambda group=None: [one for one in few if group in (None, one.group)]  # noqa: E731
        patch.setattr(world, "species", listed)
        patch.setattr("examples.fieldguide.world.species", listed)
        patch.setattr(world, "IMAGES_PER_SPECIES", {"train": 10, "validation": 4, "test": 4})
        patch.setattr(arms, "BASE", TINY)
        patch.setattr(run, "DISTILL", Path(run.__file__).parent)  # hashing all of distill/ takes long
        yield prepare(tmp_path_factory.mktemp("evidence"))


GROUPS = ["validation", "test"]
TUNED = TrainingArm(
    name="tuned",
    title="t",
    section="few-shot",
    starts_from="cls",
    changes={"losses": only_losses("cls"), "protocol": "fine_tune", "shots": 2},
)


@pytest.mark.slow
def test_arm_is_not_repeated_and_resumes_after_a_stop(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    results, steps = small.folder / "results", []
    monkeypatch.setattr(run, "SAVE_EVERY_S", 0.0)

    def step(metrics: Any) -> None:
        steps.append(metrics.step)

    with pytest.raises(Stopped):
        run.run_arm(
            ARMS["cls"], 0, small, GROUPS, results, hooks=TrainHooks(on_step=step, should_stop=lambda: len(steps) == 3)
        )
    assert steps == [1, 2, 3]
    first = run.run_arm(ARMS["cls"], 0, small, GROUPS, results, hooks=TrainHooks(on_step=step))
    assert steps == list(range(1, first["steps"] + 1))
    assert not list((results / "unfinished").iterdir())
    assert run.run_arm(ARMS["cls"], 0, small, GROUPS, results, hooks=TrainHooks(on_step=step)) == json.loads(
        json.dumps(first)
    )
    assert len(steps) == first["steps"]
    whole = run.run_arm(ARMS["cls"], 0, small, GROUPS, small.folder / "whole")
    assert whole["groups"] == first["groups"]
    assert first["groups"]["test"]["last_epochs"]["epochs"] == [2]
    assert first["groups"]["validation"]["last_epochs"] is None
    keys = {
        run.record_key(ARMS[name], seed, small, groups)
        for name in ("cls", "mse")
        for seed in (0, 1)
        for groups in (["test"], GROUPS)
    }
    assert len(keys) == 8


@pytest.mark.slow
def test_images_that_each_protocol_is_measured_on(small: World, monkeypatch: pytest.MonkeyPatch) -> None:
    results = small.folder / "results"
    monkeypatch.setitem(arms.ARMS, "tuned", TUNED)
    tuned = run.run_arm(TUNED, 1, small, GROUPS, results)
    assert list(tuned["groups"]) == ["test"]
    assert tuned["groups"]["test"]["ood"]["num_images"] == 3 * 2
    retrieving = replace(ARMS["5-shot retrieval"], changes={"protocol": "retrieval", "shots": 2})
    found = run.run_arm(retrieving, 1, small, GROUPS, results)["groups"]["test"]
    assert found["retrieval"]["num_images"] == 3 * 2
    closed = run.run_arm(ARMS["closed set"], 1, small, GROUPS, results)["groups"]["validation"]
    assert closed["ood"] is closed["joint"] is None
    assert closed["id"]["num_labels"] == 3


def record(arm: str, seed: int, accuracy: float, small: dict[str, Any]) -> dict[str, Any]:
    part = {
        "accuracy": accuracy,
        "intervals": {"labels": [accuracy - 0.1, accuracy + 0.1]},
        "agreement": {"feature_cosine": 0.5},
    }
    one = {"id": part, "ood": part, "joint": {"harmonic_mean": 0.4}, "last_epochs": {"ood_accuracy": 0.3}}
    return {
        "arm": arm,
        "seed": seed,
        "groups": {"test": one | small},
        "seconds": 60.0,
        "machine": "a machine",
        "pictures": 18,
        "config": {"student": "s", "image_px": 64},
    }


def test_report_has_means_intervals_and_verdicts(tmp_path: Path) -> None:
    results = [record("cls", seed, 0.5 + seed / 100, {}) for seed in range(3)]
    results += [record("cls (names)", seed, 0.1 + seed / 50, {}) for seed in range(3)]
    results += [record("closed set", 0, 0.9, {"ood": None, "joint": None, "last_epochs": None})]
    teacher = {"test": {"sentence": {part: {"accuracy": 0.998, "chance": 0.025} for part in ("id", "ood")}}}
    write_report(results, teacher, command="make evidence", docs=tmp_path)
    document = (tmp_path / "evidence.md").read_text()
    assert "| L-cls alone | sentence | 51.0% ± 2.5 | 51.0% ± 2.5 | 51% | 30.0%" in document
    assert "| paper | +39.0 ± 2.5 points | confirmed |" in document
    assert "- **Confirmed** (paper): Attributes in the texts help with L-cls alone." in document
    assert "50.0% to 70.0%" not in document
    assert "7 trainings, 7 minutes in total, on a machine." in document
    assert paired_differences(CLAIMS[0], {"cls": results[:3], "cls (names)": results[3:5]}, "test") == pytest.approx(
        [0.4, 0.39]
    )
    retrieving = [record("5-shot retrieval", 0, 0.5, {"retrieval": {"accuracy": 0.75}})]
    (by_retrieval,) = (claim for claim in CLAIMS if claim.better == claim.worse)
    assert paired_differences(by_retrieval, {"5-shot retrieval": retrieving}, "test") == [0.25]
    plot = (tmp_path / PLOT).read_bytes()
    write_report(results, teacher, command="make evidence", docs=tmp_path)
    assert (tmp_path / PLOT).read_bytes() == plot
    assert (tmp_path / "evidence.md").read_text() == document
    with pytest.raises(ValueError, match="no records"):
        write_report([], teacher, command="", docs=tmp_path)


def test_other_sections_of_the_document_are_kept(tmp_path: Path) -> None:
    teacher = {"test": {"sentence": {part: {"accuracy": 0.998, "chance": 0.025} for part in ("id", "ood")}}}
    path = tmp_path / "evidence.md"
    put_part(path, "attributes", "# Attributes\n\nThey help.")
    before = path.read_text()
    for accuracy in (0.5, 0.6):
        write_report([record("cls", 0, accuracy, {})], teacher, command="make evidence", docs=tmp_path)
        document = path.read_text()
        assert document.startswith(before)
        assert document.count("# Distillation") == document.count("# Attributes") == 1
    assert "| L-cls alone | sentence | 60.0% |" in document
    assert "| L-cls alone | sentence | 50.0% |" not in document
    put_part(path, "attributes", "# Attributes\n\nThey do not help.")
    assert path.read_text() == document.replace("They help.", "They do not help.")


def test_every_training_image_has_its_caption(small: World) -> None:
    captions = json.loads(small.captions.read_text())
    assert len(captions) == 30
    assert all((small.folder / "pictures" / path).is_file() for path in captions)
    assert len(set(captions.values())) > 25
    arm = TrainingArm(
        name="cap", title="t", section="language", changes={"losses": only_losses("cap")}, has_captions=True
    )
    found = run.run_arm(arm, 0, small, ["test"], small.folder / "captioned")
    assert found["groups"]["test"]["ood"]["num_labels"] == 3


@pytest.mark.slow
def test_command_runs_arms_and_writes_the_report(small: World, capsys: pytest.CaptureFixture[str]) -> None:
    docs = small.folder / "docs"
    command = ["--arms", "cls", "--seeds", "0", "--out", str(small.folder), "--write", str(docs)]
    assert main(command) == 0
    assert "cls, seed 0: seen" in capsys.readouterr().err
    assert "--arms 'cls' --seeds 0" in (docs / "evidence.md").read_text()
    assert main(["--list"]) == 0
    assert "limbeck" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--arms", "clss"])
