"""One rank of the training of a part: `torchrun … -m workers.gpu.rank PART_ID TOKEN FOLDER [--state KEY]`.

Every rank trains its share of each batch. The first rank of a machine also prepares the data, while the others wait and
then find it in the caches. The first rank of all writes progress, events and training states with the token of the
child's claim, and stores the trained student. The child of the part starts torchrun, renews the lease, asks the ranks
to stop (SIGTERM) and ends the part. A rank writes how it ended to its folder in FOLDER, and does not outlive torchrun.
"""

import argparse
import os
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from distill.data.files.regular_files import confine_to
from limbeck.shared.child_process import end_with_parent, exit_after_parent
from store.errors import LeaseLost
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import TrainPartResult
from store.uploads import places
from workers.gpu.torchrun import outcome_of, write_outcome
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.logs import configure


class OtherRankLease(LeaseRenewal):
    """The lease as the other ranks see it: it is not renewed, and what they report is not written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """Nothing was started."""

    def progress(self, *_arguments: Any, **_named: Any) -> None:
        """Write nothing."""

    def begin(self, *_arguments: Any, **_named: Any) -> None:
        """Write nothing."""

    def note(self, *_arguments: Any, **_named: Any) -> None:
        """Write nothing."""


def main() -> int:
    """Run the rank that torchrun's environment names. Returns 0 if it trained to the end, else 1."""
    end_with_torchrun()
    parser = argparse.ArgumentParser(description="Run one rank of a training.")
    parser.add_argument("part_id")
    parser.add_argument("token")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--state", help="key of the training state from which all ranks resume")
    arguments = parser.parse_args()
    context = Context.open()
    configure(context.settings)
    confine_to(*places.roots(context.settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    folder: Path = arguments.folder / f"rank-{os.environ['RANK']}"
    folder.mkdir(exist_ok=True)
    outcome = outcome_of(lambda: join_and_train(context, arguments, folder))
    write_outcome(outcome, folder)
    return 0 if outcome.has_succeeded else 1


def end_with_torchrun() -> None:
    """Have this process killed as soon as torchrun is gone, which is killed with the child that started it."""
    if (end := end_with_parent(signal.SIGKILL)) is not None:
        end()
    exit_after_parent(0.0)


def join_and_train(context: Context, arguments: argparse.Namespace, folder: Path) -> TrainPartResult | None:
    """Join the other ranks and train; the result on the first rank. Raises LeaseLost before it waits for them."""
    with context.db.read() as tx:
        claim = claims.of_attempt(tx, arguments.part_id, arguments.token)
    claim = replace(claim, state_key=arguments.state)
    from distill.training.distributed import join_ranks

    with join_ranks() as ranks:
        outcome = outcome_of(lambda: _train(context, claim, folder, is_first=ranks.is_first))
        # Before the others see that this rank left the group: the earliest outcome is the cause.
        write_outcome(outcome, folder)
    return outcome.result


def _train(context: Context, claim: Claim, folder: Path, *, is_first: bool) -> TrainPartResult | None:
    """Train; the result on the first rank, None on the others."""
    from workers.gpu.train import run_training

    lease = (LeaseRenewal if is_first else OtherRankLease)(context, claim)
    with lease:
        try:
            return run_training(context, claim, lease, folder)
        finally:
            with suppress(SQLAlchemyError, LeaseLost):  # the child, which ends the part, reports these
                lease.flush()


if __name__ == "__main__":
    sys.exit(main())
