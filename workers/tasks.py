"""The Celery tasks, one per queue: each takes the id of a part and runs the most urgent ready part."""

from workers.app import app, context
from workers.dispatch import run_for_message


@app.task(name="limbeck.enrich")  # type: ignore[untyped-decorator]
def enrich(part_id: str) -> None:
    """Run the most urgent part of the queue `enrich`."""
    if not context.shutting_down.is_set():
        run_for_message(context, "enrich", part_id)


@app.task(name="limbeck.gpu")  # type: ignore[untyped-decorator]
def gpu(part_id: str) -> None:
    """Run the most urgent part of the queue `gpu` in a child process."""
    if not context.shutting_down.is_set():
        run_for_message(context, "gpu", part_id)


def send(part_id: str, queue: str) -> None:
    """Send the message for a part. Raises kombu's `OperationalError` within seconds if the broker is unreachable."""
    app.send_task(f"limbeck.{queue}", args=[part_id], queue=queue, retry=False)
