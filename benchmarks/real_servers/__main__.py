"""Our client with OpenAI-compatible servers of other projects: `python -m benchmarks.real_servers`.

    llama.cpp             its own server, from the wheel `xllamacpp`; it enforces the schema with a grammar
    llama.cpp, thinking   the same with the chat template of a reasoning model, which thinks until the token limit
    transformers          `transformers serve`; it ignores the schema
    litellm               the LiteLLM proxy in front of llama.cpp

Each serves a tiny model of random weights. Only the servers are downloaded: in the first run pip installs them into
environments of their own in `--folder` (two minutes, 1.2 GB). The content of the responses is meaningless. The checks:

    - every question ends with lines or a named reason
    - with llama.cpp, every complete response fits the schema, and all of them are used
    - the client's count of calls and tokens is the server's, and no call takes more prompt tokens than its bound
    - an unknown model and a wrong key stop a run at its first calls, if the server refuses them
    - a job of the service has the server's bill in its ledger, and stays below the estimate's maximum
    - a server that is killed and started again after three seconds costs no question

The exit code is 1 if a check fails.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import machine
from benchmarks.real_servers import environments, servers
from benchmarks.real_servers.runs import Traits, run_server

KEY = "sk-real-servers"


@dataclass(frozen=True)
class Case:
    """How to start a server, and what it does."""

    serve: Callable[[Path], AbstractContextManager[servers.Server]]
    traits: Traits


def report(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _llama(folder: Path) -> AbstractContextManager[servers.Server]:
    python = environments.build(environments.LLAMA, folder, report)
    return servers.serve_llama(python, folder, {"api_keys": [KEY]})


def _thinking(folder: Path) -> AbstractContextManager[servers.Server]:
    python = environments.build(environments.LLAMA, folder, report)
    return servers.serve_llama(python, folder, {"chat_template": servers.THINKING_TEMPLATE})


def _transformers(folder: Path) -> AbstractContextManager[servers.Server]:
    python = environments.build(environments.TRANSFORMERS, folder, report)
    return servers.serve_transformers(python, folder)


@contextmanager
def _litellm(folder: Path) -> Iterator[servers.Server]:
    python = environments.build(environments.LITELLM, folder, report)
    with _llama(folder) as llama:
        upstream = {"model": "openai/tiny", "api_base": llama.base_url, "api_key": KEY}
        with servers.serve_litellm(python, folder, {"tiny": upstream}) as proxy:
            yield proxy


CASES: Mapping[str, Case] = {
    "llama.cpp": Case(_llama, Traits(enforces_schema=True, refuses=("key",), restarts=True, job=True)),
    "llama.cpp, thinking": Case(_thinking, Traits(enforces_schema=True, thinks=True, wrong=())),
    "transformers": Case(_transformers, Traits(wrong=("model",), refuses=("model",))),
    "litellm": Case(_litellm, Traits(enforces_schema=True, refuses=("model", "key"))),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_servers", description="Test our client with LLM servers of other projects."
    )
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"default: all of {', '.join(CASES)}")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "limbeck-real-servers",
        help="where the servers' environments, models and logs are kept (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.servers if name not in CASES]:
        parser.error(f"server {unknown[0]!r} is unknown; choose from {', '.join(CASES)}")
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    report(machine())
    faults: list[str] = []
    for name in arguments.servers or CASES:
        case = CASES[name]
        with case.serve(folder) as server:
            found = run_server(name, server, case.traits, report)
        faults += [f"{name}: {fault}" for fault in found]
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    report(f"{len(faults)} faults" if faults else "all checks passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
