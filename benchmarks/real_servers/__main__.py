"""Our client against two OpenAI-compatible servers written by others, each with a tiny model of random weights.

    python -m benchmarks.real_servers --llama-python VENV/bin/python --transformers-python VENV/bin/python

The servers live in environments of their own: `pip install 'llama-cpp-python[server]' gguf` (built from source, some
twenty minutes on two cores) and `pip install 'transformers[serving]'`. Without one of the two options that server is
left out. What a random model says means nothing. What counts is that every question ends with lines or a named reason,
that llama.cpp's grammar holds the answers to our schemas, and that wrong models stop the run at its first calls. Exit
code 1 where that does not hold.
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
START_S = 180.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run against the servers given; the exit code."""
    parser = argparse.ArgumentParser(description="Our client against servers that others wrote.")
    parser.add_argument(
        "--llama-python", type=Path, help="Python of an environment with llama-cpp-python[server], gguf"
    )
    parser.add_argument("--transformers-python", type=Path, help="Python of one with transformers[serving]")
    asked = parser.parse_args(argv)
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if asked.llama_python:
            with _llama(asked.llama_python, folder) as (base_url, model):
                faults += _try("llama-cpp-python", base_url, model, grammar=True)
        if asked.transformers_python:
            with _transformers(asked.transformers_python, folder) as (base_url, model):
                faults += _try("transformers serve", base_url, model, grammar=False)
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _try(name: str, base_url: str, model: str, *, grammar: bool) -> list[str]:
    """Ask everything there is to ask, show what came, and say what should not have come."""
    faults: list[str] = []
    ladder = FormatFallback()
    how = {"timeout_s": 120, "max_attempts": 4, "concurrency": 2, "max_tokens": 400, "temperature": 1.0}
    settings = LLMSettings.model_validate({"base_url": base_url, "model": model, **how})
    table = Table(
        "strategy", "labels", "ended", "calls by form and status", "answers that fit the schema", "s", title=name
    )
    for title, asks in _questions():
        began = time.monotonic()
        outcomes = asyncio.run(_ask(settings, ladder, asks))
        took_s = time.monotonic() - began
        calls = [(outcome.question.strategy, call) for outcome in outcomes for call in outcome.calls]
        whole = [(strategy, call) for strategy, call in calls if call.status not in ("answer_too_long", "bad_request")]
        fitting = sum(_fits(strategy, call) for strategy, call in whole)
        ended = Counter(outcome.reason or "lines" for outcome in outcomes)
        table.add_row(
            title,
            str(len(outcomes)),
            _counted(ended),
            _counted(Counter(f"{c.level}: {c.status}" for _, c in calls)),
            f"{fitting} of {len(whole)}",
            f"{took_s:.1f}",
        )
        if len(outcomes) != len(asks) or any(o.reason is not None and o.reason not in REASONS for o in outcomes):
            faults.append(f"{name}, {title}: a question ended without lines or a named reason")
        if any(outcome.reason is not None and not outcome.detail for outcome in outcomes):
            faults.append(f"{name}, {title}: a reason without its detail")
        if grammar and any(not _fits(strategy, call) for strategy, call in whole if call.level.endswith("schema")):
            faults.append(f"{name}, {title}: an answer under the grammar does not fit the schema")
        if grammar and title == "label given" and ended["lines"] != len(asks):
            faults.append(f"{name}, {title}: with the label held by the schema every answer should be valid")
    Console(width=160).print(table)
    sys.stdout.flush()
    wrong = settings.model_copy(update={"model": "no-such-model"})
    print(f"{name}, a model that is not there: {asyncio.run(_wrong_model(wrong))}")
    return faults


def _questions() -> Iterator[tuple[str, list[Question]]]:
    for name in ("describe", "sentence", "phrases"):
        yield name, [ask for label in LABELS for ask in questions_for_label(load_strategy(name), label, DOMAIN)]
    yield "questions", list(questions_for_label(load_strategy("questions"), LABELS[0], DOMAIN))[:4]
    pairs = [(one, other) for at, one in enumerate(LABELS) for other in LABELS[:at]]
    yield (
        "contrast",
        [ask for one, other in pairs for ask in questions_for_pair(load_strategy("contrast"), one, other, DOMAIN)],
    )
    yield "label given", [Question(_holding(load_strategy("phrases"), label), label, DOMAIN) for label in LABELS[:3]]


def _holding(strategy: Strategy, label: Label) -> Strategy:
    """The strategy with a schema that admits one label only, which not even a random model can get wrong."""
    properties = {**strategy.schema["properties"], "label": {"type": "string", "enum": [label.name]}}
    return replace(strategy, schema={**strategy.schema, "properties": properties})


async def _ask(settings: LLMSettings, ladder: FormatFallback, asks: Sequence[Question]) -> list[QuestionResult]:
    outcomes: list[QuestionResult] = []
    async with LLMClient(settings, fallback=ladder) as enricher:
        await enricher.query_all(asks, on_result=outcomes.append)
    return outcomes


async def _wrong_model(settings: LLMSettings) -> str:
    asks = [
        ask
        for number in range(50)
        for ask in questions_for_label(load_strategy("sentence"), Label(f"bird {number}"), DOMAIN)
    ]
    kept: list[QuestionResult] = []
    try:
        async with LLMClient(settings, fallback=FormatFallback()) as enricher:
            await enricher.query_all(asks[:50], on_result=kept.append, should_stop=lambda: len(kept) >= 5)
    except FatalLLMError as error:
        return f"{error.code} after {sum(len(outcome.calls) for outcome in kept)} calls for 50 labels: {error.message}"
    return "not refused: the server answers with the model it has"


def _fits(strategy: Strategy, call: Call) -> bool:
    """Whether the raw text of an answer is JSON that fits the schema."""
    try:
        return strategy.validator.is_valid(json.loads(call.response_text or "", strict=False))
    except ValueError:
        return False


def _counted(counts: Counter[str]) -> str:
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
    """The server's process, once it answers; its log is shown where it does not."""
    env = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent, env=env) as process:
        try:
            deadline = time.monotonic() + START_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{command[0]} does not serve:\n{log.read_text(errors='replace')[-3000:]}")
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            process.wait(timeout=20)


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5).close()
    except urllib.error.HTTPError:
        return True  # transformers serve has no list of models where nothing was downloaded before
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
