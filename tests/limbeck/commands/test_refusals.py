"""Refusals name what the user gave: `--set` or the option of a setting, the option of a field, or the argument."""

from pathlib import Path
from typing import Any

import pytest
import typer.main

from api.jobs.evaluate_request import EvaluateIn
from api.jobs.job_requests import DistillIn, EncodeIn
from api.jobs.plan_enrich import EnrichIn
from limbeck.cli import cli, main
from limbeck.commands.common import BadInput
from limbeck.commands.refusals import refusals_by_option
from limbeck.errors import FieldError, Problem
from tests.limbeck.scripted import problem, scripted

Capture = pytest.CaptureFixture[str]
COMMANDS = {"enrich": EnrichIn, "encode": EncodeIn, "distill": DistillIn, "evaluate": EvaluateIn}
NOT_SENT = {"kind", "vocabulary_id", "checkpoint_id"}  # the last two are arguments of some commands: see above


def code_of_refusal(pointer: str, *arguments: str) -> int:
    errors = [{"pointer": pointer, "detail": "no"}]
    with scripted([problem(422, "u", "u", errors=errors)]) as server:
        return main([*arguments, "--url", server.url])


@pytest.mark.parametrize(
    ("pointer", "options", "named"),
    [
        ("/config/weights", ["--set", "weights=own.pth"], "--set weights"),
        ("/config/student/weights", ["--set", "student.weights=own.pth"], "--set student.weights"),
        ("/config/student", ["--student", "resnet81"], "--student"),
        ("/config/student", ["--set", "student=resnet81"], "--set student"),
        ("/config/time_budget_s", ["--time-budget", "1m"], "--time-budget"),
        ("/config/time_budget_s", ["--set", "time_budget_s=60"], "--set time_budget_s"),
        ("/config/pretrained", ["--pretrained"], "--pretrained"),
        ("/config/losses/mse", ["--set", "losses.mse=-1"], "--set losses.mse"),
        ("/config", ["--set", "shots=2"], "--set"),
        ("/config", ["--recipe", "li2023_resnet_5shot"], "--recipe"),
    ],
)
def test_a_setting_is_named_as_it_was_given(pointer: str, options: list[str], named: str, capsys: Capture) -> None:
    code = code_of_refusal(pointer, "distill", "--dataset", "dst_1", "--teacher", "t", *options)
    assert (code, capsys.readouterr().err) == (2, f"limbeck: {named}: no\n")


@pytest.mark.parametrize(
    ("pointer", "command", "named"),
    [
        ("/checkpoint_id", ["evaluate", "ckp_1", "--dataset", "dst_1"], "CHECKPOINT"),
        ("/shots", ["evaluate", "ckp_1", "--dataset", "dst_1", "--shots", "9"], "--shots"),
        ("/checkpoint_id", ["encode", "voc_1", "--checkpoint", "ckp_1"], "--checkpoint"),
        ("/vocabulary_id", ["encode", "voc_1", "--checkpoint", "ckp_1"], "VOCABULARY_OR_FILE"),
        ("/vocabulary_id", ["enrich", "voc_1"], "VOCABULARY_OR_FILE"),
        ("/path", ["dataset", "create", "voc_1", "birds"], "PATH"),
        ("/split/id/0", ["dataset", "create", "voc_1", "birds"], "--split"),
        ("/near_duplicates", ["dataset", "create", "voc_1", "birds"], "--near-duplicates"),
    ],
)
def test_a_field_is_named_by_the_commands_own_word(
    pointer: str, command: list[str], named: str, capsys: Capture
) -> None:
    code = code_of_refusal(pointer, *command)
    assert (code, capsys.readouterr().err) == (2, f"limbeck: {named}: no\n")


def test_a_whole_run_names_its_images(tmp_path: Path, capsys: Capture) -> None:
    """It has no option --dataset."""
    (tmp_path / "labels.txt").write_text("crane\nheron\n")
    given = ["--labels", str(tmp_path / "labels.txt"), "--images", "birds", "--teacher", "t", "--text", "names"]
    code = code_of_refusal("/jobs/0/dataset_id", "run", *given, "--out", str(tmp_path / "student"))
    assert (code, capsys.readouterr().err) == (2, "limbeck: --images: no\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_field_of_a_job_is_named_by_an_option_of_its_command(name: str) -> None:
    command: Any = typer.main.get_command(cli).commands[name]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    not_sent = NOT_SENT | ({"dataset_id"} if name == "enrich" else set())
    for field in COMMANDS[name].model_fields.keys() - not_sent:
        problem_at = Problem(status=422, code="u", detail="u", errors=[FieldError(f"/{field}", "no")])
        with pytest.raises(BadInput) as refusal, refusals_by_option(["epochs=1"]):
            raise problem_at
        named = str(refusal.value).removesuffix(": no")
        assert named in options, (field, named)
