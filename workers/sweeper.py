"""The sweeper: `python -m workers.sweeper`. The one that sends messages, and the one that mends what died.

Every `LIMBECK_SWEEP_S` it gives the parts of silent workers to others, and, where there is a broker, sends a message
for each queued part that has none under way. The rows are the truth: a broker that is down or was emptied costs time
only, and two sweepers do no harm, since a part is claimed once however often it is announced.
"""

import signal
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from store import idempotency
from store.enrich import single_flight
from store.jobs import heartbeats, outbox
from store.lifecycle import transitions
from store.logs import configure
from workers.runtime.context import Context, worker_name

log = structlog.get_logger()
_TIDY_EVERY_S = 600.0


class Sweeper:
    """`sweep()` is one round; `run()` goes on until the context shuts down."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._tidied = float("-inf")

    def run(self) -> None:
        """Round after round; a fault of the database or the broker is logged and tried again."""
        while not self._context.shutting_down.wait(self._context.settings.sweep_s):
            try:
                self.sweep()
            except SQLAlchemyError as error:
                log.warning("sweep_failed", error=type(error).__name__)

    def sweep(self) -> None:
        """Requeue or end what expired, announce what waits."""
        settings, db = self._context.settings, self._context.db
        with db.write() as tx:
            moved = transitions.requeue_expired(tx, max_attempts=settings.max_attempts)
            heartbeats.beat(tx, name=worker_name(), role="sweeper")
        if moved:
            log.warning("leases_expired", parts=moved)
        if time.monotonic() - self._tidied > _TIDY_EVERY_S:
            self._tidied = time.monotonic()
            self._tidy()
        if settings.distributed:
            self._announce()

    def _tidy(self) -> None:
        """Forget what is of no more use: old records, calls that nobody makes any more, states of ended trainings."""
        with self._context.db.write() as tx:
            idempotency.delete_expired(tx)
            heartbeats.forget_old(tx)
            single_flight.forget_old(tx)
            spent = outbox.unused_states(tx)
        for _, key in spent:
            self._context.artefacts.delete_below(key)
        with self._context.db.write() as tx:
            outbox.forget_states(tx, [part_id for part_id, _ in spent])

    def _announce(self) -> None:
        with self._context.db.read() as tx:
            waiting = outbox.to_send(tx, resend_s=self._context.settings.resend_s)
        if not waiting:
            return
        from kombu.exceptions import OperationalError

        from workers.tasks import send

        sent: list[str] = []
        try:
            for part_id, queue in waiting:
                send(part_id, queue)
                sent.append(part_id)
        except OperationalError as error:
            log.warning("broker_unreachable", waiting=len(waiting) - len(sent), error=str(error)[:200])
        finally:
            with self._context.db.write() as tx:
                outbox.mark_sent(tx, sent)


def main() -> None:
    """Sweep until asked to end."""
    configure()
    context = Context.open()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    Sweeper(context).run()


if __name__ == "__main__":
    main()
