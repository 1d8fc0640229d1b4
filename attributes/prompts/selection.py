"""The strategies that a job names, one step after the other."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from attributes.prompts.strategy import MAX_SAMPLES, Strategy, StrategyError, available_strategies


def select_strategy(ref: str, *, folder: Path | None = None, samples: int | None = None) -> Strategy:
    """The strategy called `ref` (`describe`: its newest version; `describe@1`), shipped or in the user's `folder`.

    `samples` takes the place of its own number of samples where it is one that samples (has a temperature). Raises
    StrategyError, with near matches for a name that is not there.
    """
    name, at, version = ref.partition("@")
    there = available_strategies(folder)
    known = [one for one in there if one.name == name and (not at or version == str(one.version))]
    if not known:
        names = [one.ref for one in there] + [one.name for one in there]
        near = list(dict.fromkeys(found.partition("@")[0] for found in get_close_matches(ref, names, n=3)))
        nearest = f"; near: {', '.join(near)}" if near else f"; there are {', '.join(one.ref for one in there)}"
        raise UnknownStrategy(f"no strategy is called {ref!r}{nearest}")
    found = max(known, key=lambda one: one.version)
    return replace(found, samples=samples) if samples and found.temperature else found


def select_strategies(refs: Sequence[str], *, folder: Path | None = None, samples: int | None = None) -> list[Strategy]:
    """Each of the strategies. Raises StrategyError, whose `step` says which of them is the culprit.

    A job may not name a strategy twice, and `samples` must be 1 to `MAX_SAMPLES` and go with one that samples.
    """
    chain: list[Strategy] = []
    for step, ref in enumerate(refs):
        try:
            found = select_strategy(ref, folder=folder, samples=samples)
        except UnknownStrategy as error:
            raise StepError(str(error), step, is_unknown=True) from None
        if found.ref in (one.ref for one in chain):
            raise StepError(f"{found.ref} is named twice", step)
        chain.append(found)
    if samples is not None:
        if not 1 <= samples <= MAX_SAMPLES:
            raise StepError(f"samples must be 1 to {MAX_SAMPLES}", None)
        if not any(one.temperature for one in chain):
            raise StepError("none of the strategies samples: all answers to a question would be the same", None)
    return chain


class UnknownStrategy(StrategyError):
    """No strategy has this name."""


class StepError(StrategyError):
    """`step`: which of a chain's strategies is at fault; None where it is `samples`."""

    def __init__(self, message: str, step: int | None, *, is_unknown: bool = False) -> None:
        super().__init__(message)
        self.step, self.is_unknown = step, is_unknown
