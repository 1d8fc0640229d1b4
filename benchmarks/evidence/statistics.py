"""Means over seeds with confidence intervals by Student's t, because there are few seeds. S seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# 97.5% quantiles of Student's t for 1, 2, … degrees of freedom; for more, the quantile of the normal distribution.
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
    """Mean and 95% interval of independent values. Raises ValueError if there are no values."""
    if not values:
        raise ValueError("the mean needs at least one value")
    mean, freedom = sum(values) / len(values), len(values) - 1
    if freedom == 0:
        return Mean(mean, None)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / freedom)
    factor = T975[freedom - 1] if freedom <= len(T975) else NORMAL975
    return Mean(mean, factor * deviation / math.sqrt(len(values)))


def verdict(differences: Sequence[float]) -> str:
    """Whether paired differences confirm the claim that the true difference is above 0."""
    mean = mean_of(differences)
    if mean.half is None:
        return "not decided: only one seed"
    if mean.low > 0:
        return "confirmed"
    if mean.high < 0:
        return "refuted: the difference is negative"
    return "not decided: the interval contains 0"
