"""Means over seeds with their intervals: Student's t, because seeds are few. S seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# The 97.5% points of Student's t for 1, 2, … degrees of freedom; beyond them, the normal distribution's.
T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
NORMAL975 = 1.96


@dataclass(frozen=True)
class Mean:
    """Mean of S values; `half`: half the width of its 95% interval, None for a single value."""

    value: float
    half: float | None

    @property
    def low(self) -> float:
        return self.value - (self.half or 0)

    @property
    def high(self) -> float:
        return self.value + (self.half or 0)


def mean_of(values: Sequence[float]) -> Mean:
    """Mean and interval of values drawn alike. Raises ValueError for none."""
    if not values:
        raise ValueError("there is no value to take a mean of")
    mean, freedom = sum(values) / len(values), len(values) - 1
    if freedom == 0:
        return Mean(mean, None)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / freedom)
    factor = T975[freedom - 1] if freedom <= len(T975) else NORMAL975
    return Mean(mean, factor * spread / math.sqrt(len(values)))


def verdict(differences: Sequence[float]) -> str:
    """What paired differences say of the claim that they are above 0."""
    found = mean_of(differences)
    if found.half is None:
        return "one seed decides nothing"
    if found.low > 0:
        return "holds here"
    if found.high < 0:
        return "does not hold here: the opposite does"
    return "not decided: the interval holds 0"
