"""Selection of the strategies that a job names."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from attributes.prompts.customize import customize
from attributes.prompts.strategy import MAX_SAMPLES, Strategy, StrategyError, available_strategies


def select_strategy(ref: str, *, folder: Path | None = None, samples: int | None = None) -> Strategy:
    """The strategy `ref` (`describe` for the newest version, or `describe@1`), shipped or from the user's `folder`.

    `samples` overrides the number of samples of a strategy that has a temperature above 0. Raises StrategyError; for an
    unknown name, its message has similar names.
    """
    name, at, version = ref.partition("@")
    available = available_strategies(folder)
    matching = [one for one in available if one.name == name and (not at or version == str(one.version))]
    if not matching:
        names = [one.ref for one in available] + [one.name for one in available]
        similar = list(dict.fromkeys(near.partition("@")[0] for near in get_close_matches(ref, names, n=3)))
        hint = f"did you mean {', '.join(similar)}?" if similar else f"choose {', '.join(one.ref for one in available)}"
        raise UnknownStrategy(f"no strategy is called {ref!r}; {hint}")
    newest = max(matching, key=lambda one: one.version)
    return replace(newest, samples=samples) if samples and newest.temperature else newest


def select_strategies(
    refs: Sequence[str],
    *,
    folder: Path | None = None,
    samples: int | None = None,
    language: str = "",
    system_prompt: str = "",
) -> list[Strategy]:
    """The strategies of a job, in the order of its steps. Raises StepError, whose `step` is the index of the fault.

    `refs` must be unique. `samples` must be 1 to `MAX_SAMPLES`, and at least one strategy must have a temperature.
    `language` and `system_prompt` change every strategy (`attributes.prompts.customize`).
    """
    selected: list[Strategy] = []
    for step, ref in enumerate(refs):
        try:
            strategy = select_strategy(ref, folder=folder, samples=samples)
        except UnknownStrategy as error:
            raise StepError(str(error), step, is_unknown=True) from None
        if strategy.ref in (one.ref for one in selected):
            raise StepError(f"{strategy.ref} is named twice", step)
        selected.append(strategy)
    if samples is not None:
        if not 1 <= samples <= MAX_SAMPLES:
            raise StepError(f"samples must be 1 to {MAX_SAMPLES}", None)
        if not any(one.temperature for one in selected):
            raise StepError("no strategy has a temperature above 0: all samples would be identical", None)
    return [customize(strategy, language=language, system_prompt=system_prompt) for strategy in selected]


class UnknownStrategy(StrategyError):
    """No strategy has this name."""


class StepError(StrategyError):
    """`step`: the index of the faulty strategy in the job; None if `samples` is at fault."""

    def __init__(self, message: str, step: int | None, *, is_unknown: bool = False) -> None:
        super().__init__(message)
        self.step, self.is_unknown = step, is_unknown
