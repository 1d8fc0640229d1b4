"""`limbeck sweep` with a scripted service: combinations, jobs that exist, and the best by held-out images."""

import json
from typing import Any

import pytest
from rich.console import Console

from limbeck.cli import main
from limbeck.commands import sweep as sweep_command
from limbeck.commands.common import BadInput
from limbeck.commands.sweep_settings import Combination, combinations
from limbeck.commands.sweep_table import Result, sweep_table
from tests.limbeck.commands.test_run import evaluation
from tests.limbeck.helpers import job as job_of
from tests.limbeck.scripted import Say, Seen, problem, scripted

Capture = pytest.CaptureFixture[str]
CHECK = {"kind": "distill", "spec": {}, "same_job_id": None, "estimate": None}
COMMAND = ("sweep", "--dataset", "dst_1", "--teacher", "t", "--set", "lr=0.001,0.003")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_command, "POLL_S", 0.0)


def run(script: list[Say], *arguments: str) -> tuple[int, list[Seen]]:
    with scripted(script) as server:
        return main([*arguments, "--url", server.url]), server.seen


def job(id: str, status: str, seen: float = 0.0, unseen: float = 0.0, **more: Any) -> dict[str, Any]:
    result = {"checkpoint_id": f"ckp_{id}", "evaluation": evaluation(seen, unseen)} if status == "succeeded" else None
    return job_of(id=f"job_{id}", kind="distill", status=status, result=result, **more)


def created(id: str, status: str, *figures: float, reused: bool = False) -> Say:
    return Say(202, job(id, status, *figures) | {"reused": reused})


def test_combinations_change_the_last_setting_fastest() -> None:
    found = combinations(["lr=0.1,0.2", "student=a,b", "epochs=3"], {"pretrained": True})
    assert [str(one) for one in found] == [
        "lr=0.1 student=a",
        "lr=0.1 student=b",
        "lr=0.2 student=a",
        "lr=0.2 student=b",
    ]
    assert found[3].config == {"lr": 0.2, "student": "b", "epochs": 3, "pretrained": True}
    lists = combinations(["milestones=[1,2],[3,4]", 'losses={"mse":1,"cls":1},{"cls":1}'], {})
    assert [one.config["milestones"] for one in lists] == [[1, 2], [1, 2], [3, 4], [3, 4]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["lr=0.1"], "0 settings have several values"),
        ([f"{name}=1,2" for name in "abcd"], "4 settings have several values"),
        (["seed=" + ",".join(map(str, range(65)))], "65 combinations"),
        (["lr=0.1,0.1"], "a value is given twice"),
        (["lr=0.001,1e-3"], "a value is given twice"),
        (["lr=0.1,"], "a value is empty"),
        (["lr=1,2", "lr=3"], "lr is given twice"),
        (["student=a,b"], "student is given twice"),
        (["lr"], "setting=value"),
    ],
)
def test_what_is_no_sweep_is_refused(given: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        combinations(given, {"student": "resnet18"} if "student" in given[0] else {})


def test_jobs_run_one_after_the_other_and_the_best_is_that_of_the_held_out_images(capsys: Capture) -> None:
    script = [
        *2 * [Say(200, CHECK)],
        created("1", "queued"),
        Say(200, job("1", "running")),
        Say(200, job("1", "succeeded", 0.8, 0.3)),
        created("2", "queued"),
        Say(200, job("2", "succeeded", 0.7, 0.6)),
    ]
    code, seen = run(script, *COMMAND, "--set", "epochs=3")
    assert code == 0
    posted = [json.loads(one.body) for one in seen if one.path == "/v1/jobs?reuse=true"]
    assert [one["config"] for one in posted] == [{"lr": 0.001, "epochs": 3}, {"lr": 0.003, "epochs": 3}]
    assert [one.path for one in seen[2:]] == [
        "/v1/jobs?reuse=true",
        *2 * ["/v1/jobs/job_1"],
        "/v1/jobs?reuse=true",
        "/v1/jobs/job_2",
    ]
    printed = capsys.readouterr().out
    # The second one is better on unseen labels, which choose nothing.
    assert "best by held-out images of seen labels: lr=0.001, 80.0% (78.0 to 82.0), student ckp_1\n" in printed


def test_jobs_that_exist_are_used_and_as_many_run_as_are_allowed(capsys: Capture) -> None:
    script = [
        *3 * [Say(200, CHECK)],
        created("1", "succeeded", 0.8, 0.3, reused=True),
        created("2", "running", reused=True),
        created("3", "queued"),
        Say(200, job("2", "succeeded", 0.79, 0.4)),
        Say(200, job("3", "succeeded", 0.5, 0.4)),
    ]
    code, seen = run(script, "sweep", "--dataset", "dst_1", "--teacher", "t", "--set", "lr=1,2,3", "--running", "2")
    printed = capsys.readouterr().out
    assert code == 0
    assert len(seen) == len(script)
    assert "lr=1: job job_1 exists (succeeded)" in printed
    assert "; within its interval: lr=2\n" in printed


def test_images_with_several_labels_are_compared_by_their_map(capsys: Capture) -> None:
    def of_sets(id: str, mean_ap: float) -> Say:
        part = {"mean_ap": mean_ap, "intervals": {"images": [mean_ap - 0.02, mean_ap + 0.02]}}
        measured = {"id": None, "ood": None, "joint": None, "multi_label": {"id": part, "ood": part, "joint": {}}}
        result = {"checkpoint_id": f"ckp_{id}", "evaluation": measured}
        return Say(202, job_of(id=f"job_{id}", kind="distill", status="succeeded", result=result) | {"reused": False})

    code, _ = run([*2 * [Say(200, CHECK)], of_sets("1", 0.5), of_sets("2", 0.7)], *COMMAND)
    printed = capsys.readouterr().out
    assert code == 0
    assert "1 of 2: lr=0.001: seen 50.0% (48.0 to 52.0), unseen 50.0% (48.0 to 52.0)\n" in printed
    assert "mean average precision" in printed
    assert "best by held-out images of seen labels: lr=0.003, 70.0% (68.0 to 72.0), student ckp_2" in printed


def test_the_table_fits_a_narrow_terminal() -> None:
    """The settings are what the rows differ in: they stay whole, and the figures break."""
    measured = evaluation(0.5, 0.4) | {"joint": {"harmonic_mean": 0.3, "harmonic_intervals": {"images": [0.2, 0.4]}}}
    row = Result(Combination({"lr": 0.001}, {}), "job_" + 26 * "0", "succeeded", "ckp_1", measured)
    console = Console(width=80, record=True)
    console.print(sweep_table([row]))
    shown = console.export_text()
    for cell in ("lr", "0.001", "job_" + 26 * "0"):
        assert cell in shown
    for part in ("50.0% (48.0", "to 52.0)", "30.0% (20.0", "to 40.0)"):
        assert part in shown
    assert "…" not in shown


def test_a_training_that_fails_does_not_end_the_others(capsys: Capture) -> None:
    error = {"code": "student_unfit", "message": "too small", "part": None}
    script = [
        *2 * [Say(200, CHECK)],
        Say(202, job("1", "failed", error=error) | {"reused": False}),
        created("2", "succeeded", 0.7, 0.6),
    ]
    code, _ = run(script, *COMMAND, "--json")
    captured = capsys.readouterr()
    assert code == 1
    failed, good = json.loads(captured.out)
    assert (failed["settings"], failed["status"], failed["id"]) == ({"lr": 0.001}, "failed: too small", None)
    assert (good["id"]["value"], good["ood"]["value"], good["checkpoint_id"]) == (0.7, 0.6, "ckp_2")
    assert "1 of 2 trainings failed: limbeck jobs show job_1" in captured.err


def test_every_combination_is_checked_before_the_first_job(capsys: Capture) -> None:
    refused = problem(422, "u", "u", errors=[{"pointer": "/config/lr", "detail": "too large"}])
    code, seen = run([Say(200, CHECK), refused], *COMMAND)
    assert code == 2
    assert {one.path for one in seen} == {"/v1/jobs?dry_run=true"}
    assert capsys.readouterr().err == "limbeck: lr=0.003: --set lr: too large\n"
    code, seen = run([Say(200, CHECK), Say(200, CHECK | {"same_job_id": "job_7"})], *COMMAND, "--dry-run")
    assert (code, len(seen)) == (0, 2)
    assert capsys.readouterr().out == "lr=0.001\nlr=0.003 (exists: job_7)\n"
