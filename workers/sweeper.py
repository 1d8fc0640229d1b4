"""The sweeper: `python -m workers.sweeper`. It requeues parts of dead workers and sends the messages for queued parts.

Every `LIMBECK_SWEEP_S` seconds it requeues parts whose lease has expired and, if there is a broker, sends a message for
each queued part without a recent message. The database is authoritative: a broker that is down or has lost its data
only costs time. Several sweepers can run, because a part is claimed once, however many messages are sent for it.
"""

import signal
import time

from limbeck.shared.parts import exit_if_part_is_missing

with exit_if_part_is_missing("python -m workers.sweeper"):
    import structlog
    from sqlalchemy.exc import SQLAlchemyError

    from store.jobs import counters, heartbeats, outbox
    from store.lifecycle import transitions
    from store.upkeep import sweep
    from workers.runtime.context import Context, worker_name
    from workers.runtime.heartbeat import touch
    from workers.runtime.logs import configure
    from workers.upkeep import start_upkeep
    from workers.webhooks import start_sender

log = structlog.get_logger()
_CLEANUP_EVERY_S = 60.0
_FOLD_EVERY_S = 10.0


class Sweeper:
    """`sweep()` does one round; `run()` repeats it until the context shuts down."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last_cleanup = self._last_fold = float("-inf")

    def run(self) -> None:
        """Sweep until shutdown, and send webhooks. Errors of the database are logged, and the next round retries."""
        start_sender(self._context)
        while not self._context.shutting_down.wait(self._context.settings.sweep_s):
            try:
                self.sweep()
            except SQLAlchemyError as error:
                log.warning("sweep_failed", error=type(error).__name__)
            touch(self._context.settings.alive_file)

    def sweep(self) -> None:
        """Requeue or end parts with an expired lease, clean up and fold counters now and then, and send messages."""
        settings, db = self._context.settings, self._context.db
        with db.write() as tx:
            moved = transitions.requeue_expired(tx, max_attempts=settings.max_attempts)
            heartbeats.record(tx, name=worker_name(), role="sweeper")
        if moved:
            log.warning("leases_expired", parts=moved)
        if time.monotonic() - self._last_cleanup > _CLEANUP_EVERY_S:
            self._last_cleanup = time.monotonic()
            self._clean_up()
        if time.monotonic() - self._last_fold > _FOLD_EVERY_S:
            self._last_fold = time.monotonic()
            self._fold_counters()
        if settings.distributed:
            self._send_messages()

    def _fold_counters(self) -> None:
        """Add the increments of counters to their totals, in short transactions."""
        num_folded = 1
        while num_folded and not self._context.shutting_down.is_set():
            with self._context.db.write() as tx:
                num_folded = counters.fold(tx)

    def _clean_up(self) -> None:
        """Delete expired records, rows of deleted resources, and training states of ended parts."""
        context = self._context
        sweep.sweep_records(context.db, context.settings)
        sweep.sweep_states(context.db, context.artefacts, worker_name(), keep_s=context.settings.keep_states_s)

    def _send_messages(self) -> None:
        """Send a message for each queued part that is due; parts that the broker did not accept are sent next time."""
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
    """Sweep until SIGTERM or SIGINT."""
    context = Context.start("python -m workers.sweeper")
    configure(context.settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    start_upkeep(context, has_cache=False)
    Sweeper(context).run()


if __name__ == "__main__":
    main()
