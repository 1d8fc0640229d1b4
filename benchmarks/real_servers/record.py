"""Records how real servers answer requests that they refuse: `python -m benchmarks.real_servers.record`.

It writes `tests/attributes/llm/real_exchanges.json`, from which tests let a stand-in answer in the servers' own words.
Status, headers and body are as sent, without what differs from run to run (ids, times, addresses).
"""

import argparse
import json
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.load import free_port
from benchmarks.real_servers import environments, servers
from benchmarks.real_servers.questions import PNG

FILE = Path(__file__).parents[2] / "tests" / "attributes" / "llm" / "real_exchanges.json"
KEY = "sk-real-servers"
SMALL_CONTEXT = 512
BYTES_ABOVE_ASCII = [[3 + byte, 26.0] for byte in range(0x80, 0x100)]  # a logit bias of their tokens
KEPT_HEADERS = {"content-type", "retry-after", "www-authenticate", "x-ratelimit-remaining-requests"}
LABEL_SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string"}},
    "required": ["label"],
    "additionalProperties": False,
}
LONG_PROMPT = [{"role": "user", "content": "a robin " * 200}]
IMAGE_PROMPT = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG.url, "detail": "low"}}]}]
Recorded = dict[str, Any]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Record how real LLM servers refuse requests.")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "limbeck-real-servers")
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    recorded = [*_of_llama(folder), *_of_transformers(folder), *_of_litellm(folder)]
    FILE.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(recorded)} exchanges in {FILE}")
    return 0


def _of_llama(folder: Path) -> Iterator[Recorded]:
    python = environments.build(environments.LLAMA, folder, print)
    name = "llama.cpp"
    with servers.serve_llama(python, folder, {"api_keys": [KEY]}) as server:
        yield _exchange(name, "wrong key", server, key="sk-of-someone-else")
        yield _exchange(name, "cut off", server, max_tokens=3)
        yield _exchange(name, "unknown response format", server, response_format={"type": "yaml"})
        yield _exchange(name, "invalid schema", server, response_format=_schema({"type": "wrong"}))
        yield _exchange(name, "temperature of a wrong type", server, temperature="hot")
        yield _exchange(name, "unknown reasoning_format", server, reasoning_format="bogus")
        yield _exchange(name, "image to a text model", server, messages=IMAGE_PROMPT)
        garbled: Recorded = {
            "response_format": _schema(LABEL_SCHEMA),
            "logit_bias": BYTES_ABOVE_ASCII,
            "max_tokens": 200,
        }
        yield _exchange(name, "unparsable output", server, **garbled)
        yield _exchange(name, "loading", server, loading=True)
    with servers.serve_llama(python, folder, {"n_ctx": SMALL_CONTEXT, "n_parallel": 1}) as server:
        yield _exchange(name, "prompt longer than the context", server, messages=LONG_PROMPT)
    with servers.serve_llama(python, folder, {"chat_template": servers.THINKING_TEMPLATE}) as server:
        yield _exchange(name, "thoughts up to the limit", server, response_format=_schema(LABEL_SCHEMA), max_tokens=20)


def _of_transformers(folder: Path) -> Iterator[Recorded]:
    python = environments.build(environments.TRANSFORMERS, folder, print)
    name = "transformers serve"
    with servers.serve_transformers(python, folder) as server:
        yield _exchange(name, "unknown model, pinned", server, model="no-such-model")
        yield _exchange(name, "unknown parameter", server, provider={"order": ["x"]})
    with servers.serve_transformers(python, folder, pinned=False) as server:
        yield _exchange(name, "unknown model", server, model="no-such-model")


def _of_litellm(folder: Path) -> Iterator[Recorded]:
    python = environments.build(environments.LITELLM, folder, print)
    llama_python = environments.build(environments.LLAMA, folder, print)
    name = "LiteLLM"
    options: servers.Options = {"n_ctx": SMALL_CONTEXT, "n_parallel": 1, "api_keys": [KEY]}
    with servers.serve_llama(llama_python, folder, options) as llama:
        tiny = {"model": "openai/tiny", "api_base": llama.base_url, "api_key": KEY}
        upstreams: Mapping[str, Mapping[str, str | int]] = {
            "tiny": tiny,
            "limited": {**tiny, "rpm": 1},
            "wrong-key": {**tiny, "api_key": "sk-of-someone-else"},
            "away": {**tiny, "api_base": f"http://127.0.0.1:{free_port()}/v1"},
        }
        with servers.serve_litellm(python, folder, upstreams) as server:
            yield _exchange(name, "wrong key", server, key="sk-of-someone-else")
            yield _exchange(name, "unknown model", server, model="no-such-model")
            yield _exchange(name, "invalid schema", server, response_format=_schema({"type": "wrong"}))
            yield _exchange(name, "prompt longer than the context", server, messages=LONG_PROMPT)
            yield _exchange(name, "image to a text model", server, messages=IMAGE_PROMPT)
            yield _exchange(name, "server behind it away", server, model="away")
            yield _exchange(name, "key behind it refused", server, model="wrong-key")
            yield _exchange(name, "cooldown", server, model="wrong-key")
            _exchange(name, "", server, model="limited")
            yield _exchange(name, "rate limit", server, model="limited")


def _schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "test", "strict": True, "schema": schema}}


def _exchange(
    name: str, case: str, server: servers.Server, *, key: str = "", loading: bool = False, **changes: Any
) -> Recorded:
    """Send one request, and record its response."""
    body = {"model": server.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8} | changes
    if loading:
        server.kill()
        server.start()
    status, headers, content = _post(server, key or server.api_key, body)
    print(f"{name}: {case}: {status} {content[:200]}")
    kept = {header.lower(): value for header, value in headers.items() if header.lower() in KEPT_HEADERS}
    return {"server": name, "case": case, "status": status, "headers": kept, "body": _stable(content)}


def _post(server: servers.Server, key: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, str], str]:
    """The response, from the first moment when the server accepts connections."""
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{server.base_url}/chat/completions", json.dumps(body).encode(), headers)
    deadline = time.monotonic() + servers.START_TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, dict(response.headers), response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read().decode()
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise


def _stable(content: str) -> Any:
    """The body without what differs from run to run; JSON is parsed."""
    content = re.sub(r"cooldown_list=\[[^]]*\]", "cooldown_list=['…']", content)
    content = re.sub(r"/[^'\" ]*/tiny-llama", "tiny-llama", content)
    try:
        data = json.loads(content)
    except ValueError:
        return content
    if isinstance(data, dict):
        for name in ("id", "created", "timings", "model"):
            data.pop(name, None)
    return data


if __name__ == "__main__":
    sys.exit(main())
