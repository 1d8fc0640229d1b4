"""Selection of strategies by name, and the step that an error names."""

from pathlib import Path

import pytest

from attributes.prompts.selection import StepError, UnknownStrategy, select_strategies, select_strategy
from tests.attributes.custom_strategies import custom_strategy


def test_the_newest_version_is_selected_by_default(tmp_path: Path) -> None:
    assert select_strategy("describe").ref == select_strategy("describe@1").ref == "describe@1"
    custom_strategy(tmp_path, name="colours")
    assert select_strategy("colours", folder=tmp_path).ref == "colours@1"


@pytest.mark.parametrize(
    ("ref", "message"),
    [("describ", "did you mean describe"), ("describe@7", "did you mean describe"), ("xyz", "choose captions@1, ")],
)
def test_an_unknown_strategy_is_refused_with_similar_names(ref: str, message: str) -> None:
    with pytest.raises(UnknownStrategy, match=message):
        select_strategy(ref)


def test_samples_override_only_strategies_with_a_temperature() -> None:
    sentence, questions = select_strategies(["sentence", "questions"], samples=5)
    assert (sentence.samples, questions.samples) == (1, 5)


@pytest.mark.parametrize(
    ("refs", "samples", "step", "is_unknown", "message"),
    [
        (["sentence", "sing"], None, 1, True, "no strategy is called 'sing'"),
        (["sentence", "phrases", "sentence@1"], None, 2, False, "sentence@1 is named twice"),
        (["questions"], 51, None, False, "samples must be 1 to 50"),
        (["questions"], 0, None, False, "samples must be 1 to 50"),
        (["sentence"], 3, None, False, "no strategy has a temperature above 0"),
    ],
)
def test_errors_name_the_step(
    refs: list[str], samples: int | None, step: int | None, is_unknown: bool, message: str
) -> None:
    with pytest.raises(StepError, match=message) as caught:
        select_strategies(refs, samples=samples)
    assert (caught.value.step, caught.value.is_unknown) == (step, is_unknown)
