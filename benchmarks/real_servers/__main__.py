"""Our client with two OpenAI-compatible servers of other projects, each with a tiny model of random weights.

    python -m benchmarks.real_servers --llama-python VENV/bin/python --transformers-python VENV/bin/python

The servers are installed in their own environments: `pip install 'llama-cpp-python[server]' gguf` (built from source,
about twenty minutes on two cores) and `pip install 'transformers[serving]'`. A server whose option is missing is left
out. The content of a random model's responses is meaningless. The benchmark checks that every question ends with lines
or a named reason, that llama.cpp's grammar makes responses fit our schemas, and that an unknown model stops the run at
its first calls. Exit code 1 if a check fails.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from attributes.llm.client import LLMClient, LLMSettings
from attributes.llm.response_format import FormatFallback
from attributes.llm.results import REASONS, Call, FatalLLMError, QuestionResult
from attributes.prompts.questions import Question, questions_for_label, questions_for_pair
from attributes.prompts.strategy import Strategy, load_strategy
from attributes.types import Label

HERE = Path(__file__).parent
LABELS = [Label("robin"), Label("crane", "bird"), Label("crane", "machine"), Label('x"}\nSing.')]
DOMAIN = "things that fly"
FIXED_LABEL = "phrases, label fixed"
START_TIMEOUT_S = 180.0
UNFINISHED = ("answer_too_long", "bad_request")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Test our client with LLM servers of other projects.")
    parser.add_argument(
        "--llama-python", type=Path, help="Python of an environment with llama-cpp-python[server] and gguf"
    )
    parser.add_argument("--transformers-python", type=Path, help="Python of an environment with transformers[serving]")
    arguments = parser.parse_args(argv)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.llama_python:
            with _llama(arguments.llama_python, folder) as (base_url, model):
                faults += _test_server("llama-cpp-python", base_url, model, has_grammar=True)
        if arguments.transformers_python:
            with _transformers(arguments.transformers_python, folder) as (base_url, model):
                faults += _test_server("transformers serve", base_url, model, has_grammar=False)
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _test_server(name: str, base_url: str, model: str, *, has_grammar: bool) -> list[str]:
    """Send all test questions, print a table of the results, and return the faults."""
    faults: list[str] = []
    fallback = FormatFallback()
    options = {"timeout_s": 120, "max_attempts": 4, "concurrency": 2, "max_tokens": 400, "temperature": 1.0}
    settings = LLMSettings.model_validate({"base_url": base_url, "model": model, **options})
    table = Table(
        "strategy",
        "questions",
        "results",
        "calls by level and status",
        "responses that fit the schema",
        "s",
        title=name,
    )
    for title, questions in _question_sets():
        start = time.monotonic()
        results = asyncio.run(_send(settings, fallback, questions))
        elapsed_s = time.monotonic() - start
        calls = [(result.question.strategy, call) for result in results for call in result.calls]
        finished = [(strategy, call) for strategy, call in calls if call.status not in UNFINISHED]
        table.add_row(
            title,
            str(len(results)),
            _format_counts(Counter(result.reason or "lines" for result in results)),
            _format_counts(Counter(f"{call.level}: {call.status}" for _, call in calls)),
            f"{sum(_fits_schema(strategy, call) for strategy, call in finished)} of {len(finished)}",
            f"{elapsed_s:.1f}",
        )
        faults += [f"{name}, {title}: {fault}" for fault in _result_faults(len(questions), results)]
        if has_grammar:
            faults += [f"{name}, {title}: {fault}" for fault in _grammar_faults(title, results, finished)]
    Console(width=160).print(table)
    sys.stdout.flush()
    wrong = settings.model_copy(update={"model": "no-such-model"})
    print(f"{name}, with an unknown model: {asyncio.run(_unknown_model(wrong))}")
    return faults


def _result_faults(num_questions: int, results: Sequence[QuestionResult]) -> Iterator[str]:
    if len(results) != num_questions or any(each.reason is not None and each.reason not in REASONS for each in results):
        yield "a question ended without lines or a named reason"
    if any(each.reason is not None and not each.detail for each in results):
        yield "a reason has no detail"


def _grammar_faults(
    title: str, results: Sequence[QuestionResult], finished: Sequence[tuple[Strategy, Call]]
) -> Iterator[str]:
    """Faults of a server whose grammar enforces the schema."""
    if any(not _fits_schema(strategy, call) for strategy, call in finished if call.level.endswith("schema")):
        yield "a response under the grammar does not fit the schema"
    if title == FIXED_LABEL and any(each.reason is not None for each in results):
        yield "with the label fixed by the schema, every response should be valid"


def _question_sets() -> Iterator[tuple[str, list[Question]]]:
    """Titles and questions of the rows of the table."""
    for name in ("describe", "sentence", "phrases"):
        strategy = load_strategy(name)
        yield name, [question for label in LABELS for question in questions_for_label(strategy, label, DOMAIN)]
    yield "questions", list(questions_for_label(load_strategy("questions"), LABELS[0], DOMAIN))[:4]
    contrast = load_strategy("contrast")
    pairs = [(label, other) for number, label in enumerate(LABELS) for other in LABELS[:number]]
    yield "contrast", [each for label, other in pairs for each in questions_for_pair(contrast, label, other, DOMAIN)]
    phrases = load_strategy("phrases")
    yield FIXED_LABEL, [Question(_with_fixed_label(phrases, label), label, DOMAIN) for label in LABELS[:3]]


def _with_fixed_label(strategy: Strategy, label: Label) -> Strategy:
    """The strategy with a schema that allows only this label, so that even a random model returns the right one."""
    properties = {**strategy.schema["properties"]}
    properties["label"] = {"type": "string", "enum": [label.name]}
    return replace(strategy, schema={**strategy.schema, "properties": properties})


async def _send(settings: LLMSettings, fallback: FormatFallback, questions: Sequence[Question]) -> list[QuestionResult]:
    results: list[QuestionResult] = []
    async with LLMClient(settings, fallback=fallback) as client:
        await client.query_all(questions, on_result=results.append)
    return results


async def _unknown_model(settings: LLMSettings) -> str:
    """How a run with an unknown model ends, in words."""
    strategy = load_strategy("sentence")
    labels = [Label(f"bird {number}") for number in range(50)]
    questions = [question for label in labels for question in questions_for_label(strategy, label, DOMAIN)]
    results: list[QuestionResult] = []
    try:
        async with LLMClient(settings, fallback=FormatFallback()) as client:
            await client.query_all(questions[:50], on_result=results.append, should_stop=lambda: len(results) >= 5)
    except FatalLLMError as error:
        return f"{error.code} after {sum(len(result.calls) for result in results)} calls for 50 labels: {error.message}"
    return "not refused: the server responds with its own model"


def _fits_schema(strategy: Strategy, call: Call) -> bool:
    """Whether the raw text of a response is JSON that fits the schema."""
    try:
        return strategy.validator.is_valid(json.loads(call.response_text or "", strict=False))
    except ValueError:
        return False


def _format_counts(counts: Counter[str]) -> str:
    return "\n".join(f"{count} {name}" for name, count in counts.most_common())


@contextlib.contextmanager
def _llama(python: Path, folder: Path) -> Iterator[tuple[str, str]]:
    model = folder / "tiny.gguf"
    subprocess.run([python, HERE / "tiny_gguf.py", model], check=True, cwd=folder)
    port = _free_port()
    serve: list[str | Path] = [
        python,
        "-m",
        "llama_cpp.server",
        "--model",
        model,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--n_ctx",
        "16384",
        "--chat_format",
        "chatml",
        "--verbose",
        "False",
    ]
    with _served(serve, port, folder / "llama.log"):
        yield f"http://127.0.0.1:{port}/v1", str(model)


@contextlib.contextmanager
def _transformers(python: Path, folder: Path) -> Iterator[tuple[str, str]]:
    model = folder / "tiny-llama"
    subprocess.run([python, HERE / "tiny_transformers.py", model], check=True, cwd=folder)
    port = _free_port()
    serve: list[str | Path] = [
        python.with_name("transformers"),
        "serve",
        model,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    with _served(serve, port, folder / "transformers.log"):
        yield f"http://127.0.0.1:{port}/v1", str(model)


@contextlib.contextmanager
def _served(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    """Run a server during the block, from its first response. Raises SystemExit with its log if it does not start."""
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent, env=env) as process:
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not _responds(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} did not start:\n{log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def _responds(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
    except urllib.error.HTTPError:
        return True  # transformers serve has no list of models if none was downloaded
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
