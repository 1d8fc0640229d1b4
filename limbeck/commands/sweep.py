"""`limbeck sweep`: distill jobs over all combinations of two or three settings, compared in a table.

Each combination is a distill job of the service. A job with the same inputs that runs or has succeeded is used again:
the same command continues a sweep that was interrupted, and a further value adds only its own jobs.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands.common import DEFAULT_URL, BadInput, CommandFailed, Priority, Url, service
from limbeck.commands.sweep_settings import Combination, combinations
from limbeck.commands.sweep_table import Result, best_line, sweep_table
from limbeck.commands.tables import AsJson, print_json
from limbeck.commands.train_options import (
    Attributes,
    Concept,
    Dataset,
    NumProcesses,
    Pretrained,
    Recipe,
    Student,
    Teacher,
    Text,
    TimeBudget,
    train_config,
    training_job,
)
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.models import Job

POLL_S = 2.0

Swept = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="SETTING=VALUE,VALUE…",
        help="The values of a setting, separated by commas: lr=0.001,0.003. With one value it is the same in all jobs. "
        "Repeatable.",
    ),
]


def sweep(
    dataset: Dataset,
    teacher: Teacher,
    set_: Swept,
    attributes: Attributes = "",
    text: Text = "",
    concept: Concept = "",
    student: Student = "",
    recipe: Recipe = "limbeck",
    pretrained: Pretrained = False,
    time_budget: TimeBudget = "",
    nproc: NumProcesses = 1,
    running: Annotated[int, typer.Option(min=1, max=64, help="Jobs of the sweep that may run at the same time.")] = 1,
    priority: Priority = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all combinations and print them.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Train a student with each combination of some settings, and compare the students.

    The same command continues: jobs with the same inputs that run or have succeeded are used again, failed ones are
    tried again. The best combination is the one with the highest accuracy on held-out images of seen labels; the images
    of unseen labels choose nothing. Exit code 1 if a job failed.

    Examples:

      limbeck sweep --dataset dst_… --teacher ViT-B-32:openai --set lr=0.001,0.003 --set epochs=10,20
      limbeck sweep --dataset dst_… --teacher ViT-B-32:openai --set student=resnet18,resnet50 --set seed=0,1 --running 2
    """
    from rich.console import Console

    console = Console(stderr=as_json)
    fixed = train_config([], student, pretrained=pretrained, time_budget=time_budget)
    swept = combinations(set_, fixed)
    options = training_job(
        dataset=dataset,
        attributes=attributes,
        teacher=teacher,
        text=text,
        concept=concept,
        recipe=recipe,
        nproc=nproc,
        priority=priority,
    )
    with service(url) as client:
        existing = _check(client, options, swept, set_)
        if dry_run:
            return _print_plan(console, swept, existing, as_json=as_json)
        console.print(f"{counted(len(swept), 'training')}, at most {running} at the same time", highlight=False)
        results = _Sweep(client, console, options, running).run(swept)
    if as_json:
        print_json([result.as_json() for result in results])
    else:
        console.print(sweep_table(results))
        console.print(best_line(results), highlight=False, markup=False, soft_wrap=True)
    if failed := [result for result in results if result.evaluation is None]:
        raise CommandFailed(f"{len(failed)} of {len(results)} trainings failed: limbeck jobs show {failed[0].job_id}")


def _check(
    client: "Client", options: dict[str, Any], swept: Sequence[Combination], set_: Sequence[str]
) -> list[str | None]:
    """Check every combination before the first job: the id of the job that exists for each. Raises BadInput."""
    from limbeck.commands.refusals import refusals_by_option

    found: list[str | None] = []
    for one in swept:
        try:
            with refusals_by_option(set_):
                found.append(client.jobs.check("distill", config=one.config, **options).same_job_id)
        except BadInput as error:
            raise BadInput(f"{one}: {error}" if one.changed else str(error)) from None
    return found


def _print_plan(
    console: "Console", swept: Sequence[Combination], existing: Sequence[str | None], *, as_json: bool
) -> None:
    plan = [{"settings": one.changed, "same_job_id": id} for one, id in zip(swept, existing, strict=True)]
    if as_json:
        return print_json(plan)
    for one, id in zip(swept, existing, strict=True):
        console.print(f"{one}{f' (exists: {id})' if id else ''}", highlight=False, markup=False, soft_wrap=True)
    return None


class _Sweep:
    """Starts the jobs of a sweep, of which `running` may be unfinished at the same time, and follows them."""

    def __init__(self, client: "Client", console: "Console", options: dict[str, Any], running: int) -> None:
        self._client, self._console, self._options, self._running = client, console, options, running

    def run(self, swept: Sequence[Combination]) -> list[Result]:
        """The result of every combination, in their order. Raises LimbeckError."""
        waiting = list(enumerate(swept))
        live: dict[int, Job] = {}
        results: dict[int, Result] = {}
        while waiting or live:
            while waiting and len(live) < self._running:
                number, one = waiting.pop(0)
                if (job := self._start(one)).ended:
                    results[number] = self._ended(one, job, len(results) + 1, len(swept))
                else:
                    live[number] = job
            for number, before in list(live.items()):
                if (job := self._client.jobs.get(before.id)).ended:
                    del live[number]
                    results[number] = self._ended(swept[number], job, len(results) + 1, len(swept))
            if live and (len(live) == self._running or not waiting):
                time.sleep(POLL_S)
        return [results[number] for number in range(len(swept))]

    def _start(self, one: Combination) -> "Job":
        job = self._client.jobs.create("distill", reuse=True, config=one.config, **self._options)
        self._print(f"{one}: job {job.id}{f' exists ({job.status})' if job.reused else ''}")
        return job

    def _ended(self, one: Combination, job: "Job", count: int, total: int) -> Result:
        result = Result.of(one, job)
        self._print(f"{count} of {total}: {one}: {result.text()}")
        return result

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
