"""The demo: `make demo`, or `python -m examples.demo [--out demo]`. About three minutes on two cores.

Starts the stand-in LLM and `limbeck serve` in a new folder and does everything else through the HTTP API: posts labels,
has them described, registers images, distils two students (one with names, one with attributes), evaluates the students
and their teacher on unseen species, downloads and verifies the students, and classifies images in a new process.
Writes `report.json` and `report.html`. If a step fails, prints one line and exits with code 1.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from examples.demo import job
from examples.demo.report import PARTS, MeasuredRun, Results, Text, read_curve, write_html, write_json
from examples.demo.services import StepFailed, environment, llm_command, process, serve_command, wait_until_ready
from examples.fieldguide.guide import CONFIG, RECIPE
from limbeck import Client, LimbeckError

_MARK = ".limbeck-demo"
_TEXTS: tuple[Text, Text] = ("names", "enriched")


class Steps:
    """Prints each step when it begins; `current` names the step for error messages."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self.current = "start"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Run the block as the step `title`."""
        self.current = title
        self._console.print(f"[dim]{self.seconds:5.1f} s[/]  [bold]{escape(title)}[/]", highlight=False)
        yield


def fresh_folder(out: Path) -> None:
    """Create an empty folder. An existing folder is replaced only if it is empty or was created by a demo."""
    if out.exists() and not (out / _MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise StepFailed(f"{out} exists and was not created by a demo: choose another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    (out / "logs").mkdir(parents=True)
    (out / _MARK).touch()


def run(out: Path, console: Console, steps: Steps) -> Results:
    """Run all steps. The services are stopped at the end, also after an error."""
    with steps.step("draw the images of the field guide"):
        fresh_folder(out)
        console.print(f"  {job.prepare(out / 'data'):,} images, and the tiny teacher", highlight=False)
    llm_log, service_log = out / "logs" / "llm.log", out / "logs" / "service.log"
    with steps.step("start the stand-in LLM and the service"):
        llm = process("the stand-in LLM", llm_command(), env=environment(out, llm_url=""), log=llm_log)
    with llm as llm_url:
        env = environment(out, llm_url=llm_url)
        with process("limbeck serve", serve_command(), env=env, log=service_log) as url, Client(url) as client:
            wait_until_ready(client, service_log)
            console.print(f"  LLM at {llm_url}, Limbeck at {url}", highlight=False)
            return _run_jobs(out, job.Demo(client, console), steps, console)


def _run_jobs(out: Path, demo: job.Demo, steps: Steps, console: Console) -> Results:
    with steps.step("post the labels and describe them"):
        vocabulary_id, set_id, described = demo.describe()
    with steps.step("register the images"):
        dataset = demo.register(vocabulary_id)
    with steps.step("distil two students"):
        students = {text: demo.distill(dataset.id, set_id, text) for text in _TEXTS}
    with steps.step("evaluate the published students"):
        runs = [students[text].teacher for text in _TEXTS]
        runs += [demo.evaluate_student(dataset.id, set_id, students[text]) for text in _TEXTS]
    with steps.step("download the students and verify them"):
        folders = {text: out / "students" / text for text in _TEXTS}
        for text, folder in folders.items():
            demo.download(students[text].checkpoint, folder)
    with steps.step("classify images of unseen species in a new process"):
        samples = job.classify_samples(folders, out / "data")
        for sample in samples[:4]:
            console.print(
                f"  {escape(sample.label)}: names [dim]{escape(sample.names[0])}[/], "
                f"enriched [bold]{escape(sample.enriched[0])}[/]",
                highlight=False,
            )
    overrides = ", ".join(f"{name} {value}" for name, value in CONFIG.items())
    facts = [
        ("student", f"{students['enriched'].checkpoint}, recipe {RECIPE} with {overrides}"),
        ("enriched text", job.ENRICHED),
        ("vocabulary", vocabulary_id),
        ("attribute set", set_id),
        ("dataset", f"{dataset.id}, {dataset.counts['train']:,} training images of 64 px"),
        ("machine", job.machine()),
    ]
    return Results(
        runs=runs,
        checkpoint=students["enriched"].checkpoint,
        seconds=steps.seconds,
        curves={text: read_curve(folder / "training.jsonl") for text, folder in folders.items()},
        described=described,
        samples=samples,
        facts=facts,
    )


def table(runs: Sequence[MeasuredRun]) -> Table:
    """A table of the mean per-class accuracy of teacher and students, and of chance."""
    first = runs[0].evaluation
    rows = Table("", "text", title="mean per-class accuracy", title_style="bold", title_justify="left")
    for part, seen in PARTS.items():
        rows.add_column(f"{seen} species\n({first[part]['num_labels']}, {part.upper()})", justify="right")
    for run in runs:
        rows.add_row(run.who, run.text, *(_percent(run.evaluation[part]["accuracy"]) for part in PARTS))
    rows.add_row("chance", "", *(_percent(first[part]["chance"]) for part in PARTS), style="dim")
    return rows


def _percent(fraction: float) -> str:
    return f"{fraction:.1%}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo", description="Run the whole pipeline on the field guide."
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="output folder")
    out = parser.parse_args(arguments).out.resolve()
    console = Console()
    steps = Steps(console)
    signal.signal(signal.SIGTERM, _stop)
    try:
        results = run(out, console, steps)
        with steps.step("write the report"):
            write_json(results, out / "report.json")
            write_html(results, out / "report.html")
    except KeyboardInterrupt:
        print("demo: stopped", file=sys.stderr)
        return 130
    except (StepFailed, LimbeckError, OSError, TimeoutError) as error:
        print(f"demo: {steps.current}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    console.print(table(results.runs))
    console.print(f"total time {results.seconds:.0f} s; report: {out / 'report.html'}", highlight=False)
    return 0


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
