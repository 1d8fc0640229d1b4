"""Errors under corruptions, as in arXiv:1903.12261, from the accuracy at each kind and strength.

E(c, s) is the error under the corruption c at strength s: 1 - mean per-class accuracy, the accuracy of this project.

    mean error            mean over c and s of E(c, s): the mean corruption error, unnormalised
    CE(c)                 sum_s E(c, s) / sum_s E_base(c, s)
    mCE                   mean over c of CE(c): below 1 is more robust than the baseline
    relative CE(c)        sum_s (E(c, s) - E_clean) / sum_s (E_base(c, s) - E_base,clean)
    relative mCE          mean over c of the relative CE(c): the loss by corruptions, without the clean error

The baseline of the paper is AlexNet. Here it is the closed-set classifier of the same run: the same architecture,
images and schedule, without texts. A kind under which the baseline makes no error has no CE.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.config.corruption_kinds import CorruptionKind

Errors = Mapping[CorruptionKind, Sequence[float]]
"""The error at each strength, ascending, by kind."""


@dataclass(frozen=True, kw_only=True)
class KindErrors:
    """The errors under one kind at each strength, and their mean. `ce`, `relative_ce`: None without a baseline."""

    kind: CorruptionKind
    errors: tuple[float, ...]
    error: float
    ce: float | None
    relative_ce: float | None


@dataclass(frozen=True, kw_only=True)
class CorruptionErrors:
    """Errors of one model on one part. `clean_error`: of the same images, prepared alike, without a corruption."""

    num_images: int
    num_labels: int
    clean_error: float
    mean_error: float
    mce: float | None
    relative_mce: float | None
    kinds: tuple[KindErrors, ...]


def corruption_errors(
    errors: Errors,
    clean_error: float,
    *,
    num_images: int,
    num_labels: int,
    baseline: tuple[Errors, float] | None = None,
) -> CorruptionErrors:
    """The errors of a model. `baseline`: errors of the baseline on the same images, and its clean error."""
    kinds = [_kind_errors(kind, values, clean_error, baseline) for kind, values in errors.items()]
    return CorruptionErrors(
        num_images=num_images,
        num_labels=num_labels,
        clean_error=clean_error,
        mean_error=float(np.mean([one.error for one in kinds])),
        mce=_mean([one.ce for one in kinds]),
        relative_mce=_mean([one.relative_ce for one in kinds]),
        kinds=tuple(kinds),
    )


def _kind_errors(
    kind: CorruptionKind, values: Sequence[float], clean: float, baseline: tuple[Errors, float] | None
) -> KindErrors:
    ce = relative = None
    if baseline is not None:
        of_baseline, baseline_clean = baseline[0][kind], baseline[1]
        ce = _ratio(sum(values), sum(of_baseline))
        relative = _ratio(sum(value - clean for value in values), sum(value - baseline_clean for value in of_baseline))
    return KindErrors(kind=kind, errors=tuple(values), error=float(np.mean(values)), ce=ce, relative_ce=relative)


def _ratio(value: float, of: float) -> float | None:
    """None if the baseline loses nothing, or gains, so that the ratio says nothing."""
    return value / of if of > 1e-9 else None


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean; None if a value is missing, because means over different kinds cannot be compared."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
