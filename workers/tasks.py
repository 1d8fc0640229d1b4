"""The two tasks, one a queue: each takes a part's id and looks at it."""

from workers.app import app, context
from workers.dispatch import run_enrich, run_gpu


@app.task(name="limbeck.enrich")  # type: ignore[untyped-decorator]
def enrich(part_id: str) -> None:
    """Run a chunk of LLM work."""
    if not context.shutting_down.is_set():
        run_enrich(context, part_id)


@app.task(name="limbeck.gpu")  # type: ignore[untyped-decorator]
def gpu(part_id: str) -> None:
    """Run a GPU part in a child process."""
    if not context.shutting_down.is_set():
        run_gpu(context, part_id)


def send(part_id: str, queue: str) -> None:
    """Announce a part. Raises kombu's `OperationalError` within seconds where the broker is out of reach."""
    app.send_task(f"limbeck.{queue}", args=[part_id], queue=queue, retry=False)
