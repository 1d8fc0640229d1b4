"""Which teacher views to encode before which step, so that the training need not wait for all of them.

The views of a step that have no feature are encoded before it, in full batches: the last one is filled with views of
the next steps. The batches follow from the missing views and the step alone, so that a run that resumes has the same
ones.
"""

from collections.abc import Callable, Sequence

import numpy as np

from distill.config.batch_plan import BatchPlan
from distill.data.counter_rng import Ints
from distill.teacher.views.view_features import TeacherViews, ViewBatch

STEPS_TO_FILL = 64
"""Of how many next steps a batch is filled with views at most."""


class MissingViews:
    """Divides the missing views into batches, for the steps of one rank in order.

    `num_ranks`: with several, each encodes the views it needs, and finds what the others encoded in the cache after
    each image has had all its views.
    """

    def __init__(self, views: TeacherViews, plan: BatchPlan, num_ranks: int) -> None:
        self._views, self._total_steps = views, plan.total_steps
        self._missing = views.missing.copy()  # those that are in no batch yet
        passes = views.missing.shape[1] if num_ranks > 1 else 0
        self.look_up_at = passes * plan.steps_per_pass
        """The step before which the views of the other ranks are looked up; 0 for one rank."""

    def before_step(self, step: int, views_of: Callable[[int], tuple[Ints, Ints]]) -> Sequence[ViewBatch]:
        """The batches to encode before `step`, with their pixels. `views_of`: rows and numbers of a step's views."""
        if step == self.look_up_at > 0:
            self._views.look_up()
            self._missing &= self._views.missing
        rows, numbers = self._take(*views_of(step))
        if len(rows) == 0:
            return ()
        size = self._views.batch_size
        stop = self.look_up_at if step < self.look_up_at else self._total_steps
        for later in range(step + 1, min(step + 1 + STEPS_TO_FILL, stop, self._total_steps)):
            if len(rows) % size == 0:
                break
            more = self._take(*views_of(later), most=-len(rows) % size)
            rows, numbers = np.concatenate([rows, more[0]]), np.concatenate([numbers, more[1]])
        return [
            self._views.batch(rows[start : start + size], numbers[start : start + size])
            for start in range(0, len(rows), size)
        ]

    def _take(self, rows: Ints, numbers: Ints, most: int | None = None) -> tuple[Ints, Ints]:
        """At most `most` of these views that are missing, without repeats; they are no longer missing."""
        is_missing = self._missing[rows, numbers]
        pairs = np.unique(np.stack([rows[is_missing], numbers[is_missing]], axis=1), axis=0)[:most]
        self._missing[pairs[:, 0], pairs[:, 1]] = False
        return pairs[:, 0], pairs[:, 1]
