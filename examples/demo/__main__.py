"""The demo: `make demo`, or `python -m examples.demo [--out demo]`. Some three minutes on two cores.

Starts the stand-in LLM and `limbeck serve` in a fresh folder and does everything else through HTTP, as a client
would: post labels, have them described, register pictures, distil two students (told names only; told what the LLM
said), measure them and their teacher on species they never saw, download, verify, and classify in a fresh process.
Writes `report.json` and `report.html`. Exit code 1 with one line where a step fails.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from examples.demo import job
from examples.demo.report import Results, Run, Text, read_curve, write_html, write_json
from examples.demo.services import StepFailed, environment, llm_command, process, serve_command, wait_until_ready
from limbeck.client import Limbeck, LimbeckError

_MARK = ".limbeck-demo"
_TEXTS: tuple[Text, Text] = ("names", "enriched")


class Steps:
    """Says which step is under way, and knows it when one fails."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self.current = "start"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """The block is the step `title`."""
        self.current = title
        self._console.print(f"[dim]{self.seconds:5.1f} s[/]  [bold]{escape(title)}[/]", highlight=False)
        yield


def fresh_folder(out: Path) -> None:
    """An empty folder for this run. Only what an earlier demo left is removed."""
    if out.exists() and not (out / _MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise StepFailed(f"{out} is there and is no earlier demo's: name another folder with --out")
    shutil.rmtree(out, ignore_errors=True)
    (out / "logs").mkdir(parents=True)
    (out / _MARK).touch()


def run(out: Path, console: Console, steps: Steps) -> Results:
    """All of it; the services end with it, however it ends."""
    with steps.step("draw the field guide's pictures"):
        fresh_folder(out)
        console.print(f"  {job.prepare(out / 'data'):,} pictures, and the tiny teacher", highlight=False)
    llm_log, service_log = out / "logs" / "llm.log", out / "logs" / "service.log"
    with steps.step("start the stand-in LLM and the service"):
        llm = process("the stand-in LLM", llm_command(), env=environment(out, llm_url=""), log=llm_log)
    with llm as llm_url:
        env = environment(out, llm_url=llm_url)
        with process("limbeck serve", serve_command(), env=env, log=service_log) as url, Limbeck(url) as client:
            wait_until_ready(client, service_log)
            console.print(f"  LLM at {llm_url}, Limbeck at {url}", highlight=False)
            return _work(out, job.Demo(client, console), steps, console)


def _work(out: Path, demo: job.Demo, steps: Steps, console: Console) -> Results:
    with steps.step("post the labels and have them described"):
        vocabulary_id, set_id, described = demo.describe()
    with steps.step("register the pictures"):
        dataset = demo.register(vocabulary_id)
    with steps.step("distil two students"):
        students = {text: demo.distill(dataset.id, set_id, text) for text in _TEXTS}
    with steps.step("measure the published students anew"):
        runs = [students[text].teacher for text in _TEXTS]
        runs += [demo.evaluate_student(dataset.id, set_id, students[text]) for text in _TEXTS]
    with steps.step("download the students and verify them"):
        folders = {text: out / "students" / text for text in _TEXTS}
        for text, folder in folders.items():
            demo.download(students[text].checkpoint, folder)
    with steps.step("classify pictures of unseen species in a fresh process"):
        samples = job.compare(folders, out / "data")
        for sample in samples[:4]:
            console.print(
                f"  {escape(sample.label)}: by names [dim]{escape(sample.names[0])}[/], "
                f"enriched [bold]{escape(sample.enriched[0])}[/]",
                highlight=False,
            )
    changes = ", ".join(f"{name} {value}" for name, value in job.CONFIG.items())
    facts = [
        ("student", f"{students['enriched'].checkpoint}, recipe {job.RECIPE} with {changes}"),
        ("enriched text", job.ENRICHED),
        ("vocabulary", vocabulary_id),
        ("attribute set", set_id),
        ("dataset", f"{dataset.id}, {dataset.counts['train']:,} pictures to train on, each 64 px"),
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


def table(runs: Sequence[Run]) -> Table:
    """Mean per-class accuracy of teacher and students, and what guessing gives."""
    first = runs[0].evaluation
    made = Table("", "text", title="mean per-class accuracy", title_style="bold", title_justify="left")
    for part, what in (("id", "seen"), ("ood", "unseen")):
        made.add_column(f"{what} species\n({first[part]['num_labels']}, {part.upper()})", justify="right")
    for one in runs:
        made.add_row(one.who, one.text, *(_percent(one.evaluation[part]["accuracy"]) for part in ("id", "ood")))
    made.add_row("chance", "", *(_percent(first[part]["chance"]) for part in ("id", "ood")), style="dim")
    return made


def _percent(share: float) -> str:
    return f"{share:.1%}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description="The main job on the field guide.")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="the folder for everything it makes")
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
    console.print(f"{results.seconds:.0f} s in all; {out / 'report.html'}", highlight=False)
    return 0


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
