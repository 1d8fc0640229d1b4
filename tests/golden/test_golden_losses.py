"""Every recipe, loss term and variant has the losses and learning rates that `losses.json` records, step by step.

The relative tolerance is `REL` on the machine that the file names. On another processor, or with another version of
torch, it is `ELSEWHERE`: the teacher's features are kept in float16, where a last bit is a thousandth. A run that came
later can have been recorded on another machine (`recorded later`).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from distill.config.recipes import resolve_train_config
from tests.golden import files, training

GOLDEN = files.read("losses.json")
REL, ELSEWHERE = 1e-5, 0.02
RUNS = [(kind, name) for kind, (_, names) in training.KINDS.items() for name in names]


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[training.Setting]:
    with training.one_thread():
        yield training.prepare(tmp_path_factory.mktemp("losses"))


def test_every_run_is_recorded() -> None:
    recorded = [(kind, name) for kind in training.KINDS for name in GOLDEN[kind]]
    assert sorted(recorded) == sorted(RUNS)


@pytest.mark.parametrize("recipe", sorted(GOLDEN["whole recipes"]))
def test_the_plan_and_the_rates_of_a_whole_recipe(recipe: str) -> None:
    found = files.plain(training.whole_recipe(recipe))
    assert training.differences(found, GOLDEN["whole recipes"][recipe], rel=1e-9) == []


@pytest.mark.parametrize("recipe", sorted(GOLDEN["recipe fields"]))
def test_the_fields_of_a_recipe(recipe: str) -> None:
    """Overriding a recipe with all its recorded values gives the same recipe."""
    assert resolve_train_config(recipe, GOLDEN["recipe fields"][recipe]) == resolve_train_config(recipe, {})


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), RUNS)
def test_losses_and_rates(kind: str, name: str, setting: training.Setting) -> None:
    assert name in GOLDEN[kind], f"{name} is not recorded: python -m tests.golden.record losses.json"
    steps, _ = training.KINDS[kind]
    found = files.plain(steps(setting, name))
    golden: list[Any] = GOLDEN[kind][name]
    assert len(golden) >= 3
    machine = GOLDEN.get("recorded later", {}).get(f"{kind}/{name}", GOLDEN["machine"])
    same_machine = files.machine() == machine
    if not same_machine:
        print(f"this machine is {files.machine()}, not {machine}: the tolerance is {ELSEWHERE}")
    assert training.differences(found, golden, rel=REL if same_machine else ELSEWHERE) == []
