"""The servers under test. Each runs in its own process and environment, as a context manager that gives its address.

with serve_llama(python, folder, {"api_keys": ["sk-1"]}) as server: ...
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import free_port

HERE = Path(__file__).parent
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 20.0
Options = Mapping[str, str | int | bool | list[str]]

# A template of a reasoning model, as Qwen 3 has it: the prompt opens the model's thoughts unless the request says no.
THINKING_TEMPLATE = """\
{%- for message in messages -%}<|im_start|>{{ message.role }}
{% if message.role == 'assistant' %}{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{% endif %}{{ message.content }}<|im_end|>
{% endfor -%}{%- if add_generation_prompt -%}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% else %}<think>
{% endif %}{%- endif -%}
"""


@dataclass
class Server:
    """A running server. `process` is replaced by `restart`."""

    root: str
    model: str
    command: Sequence[str | Path]
    log: Path
    api_key: str = ""
    process: "subprocess.Popen[bytes]" = field(init=False)

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    def start(self) -> None:
        """Start the process; returns at the server's first HTTP response, which may say that it is still loading."""
        # The servers look for newer versions and prices on the internet by themselves; they need neither.
        offline = {"HF_HUB_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DO_NOT_TRACK": "1"}
        environment = {**os.environ, **offline, "PYTHONPATH": "", "NO_PROXY": "127.0.0.1"}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.log.parent, env=environment
            )

    def wait_until_ready(self) -> None:
        """Return as soon as the server answers. Raises SystemExit with the end of its log if it does not."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._responds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-3000:]
                self.stop()
                raise SystemExit(f"{self.command[0]} did not start:\n{end}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the process, as a crash would: it gets no time to finish requests after `STOP_TIMEOUT_S`."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        """End the process at once; requests in flight lose their connection."""
        self.process.kill()
        self.process.wait()

    def _responds(self) -> bool:
        request = urllib.request.Request(f"{self.base_url}/models", headers={"Authorization": f"Bearer {self.api_key}"})
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code != 503  # 503: the model is still loading
        except OSError:
            return False
        return True


@contextmanager
def serve_llama(python: Path, folder: Path, options: Options | None = None) -> Iterator[Server]:
    """llama.cpp with a tiny model. `options`: as in `llama_server`; the first of `api_keys` is used."""
    model = folder / "tiny.gguf"
    if not model.exists():
        subprocess.run([python, HERE / "tiny_gguf.py", model], check=True, cwd=folder)
    options, port = options or {}, free_port()
    command: list[str | Path] = [python, HERE / "llama_server.py", model, str(port), json.dumps(options)]
    keys = options.get("api_keys")
    key = keys[0] if isinstance(keys, list) else ""
    with _running(Server(f"http://127.0.0.1:{port}", "tiny", command, folder / "llama.log", key)) as server:
        yield server


@contextmanager
def serve_transformers(python: Path, folder: Path, *, pinned: bool = True) -> Iterator[Server]:
    """`transformers serve` with a tiny model; `pinned`: the server is started for this model, and has no other."""
    model = folder / "tiny-llama"
    if not model.exists():
        subprocess.run([python, HERE / "tiny_transformers.py", model], check=True, cwd=folder, capture_output=True)
    port = free_port()
    command: list[str | Path] = [python.with_name("transformers"), "serve", *([model] if pinned else [])]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with _running(Server(f"http://127.0.0.1:{port}", str(model), command, folder / "transformers.log")) as server:
        yield server


@contextmanager
def serve_litellm(python: Path, folder: Path, upstreams: Mapping[str, Mapping[str, str | int]]) -> Iterator[Server]:
    """The LiteLLM proxy, without a database. `upstreams`: `litellm_params` by model name; the first model is used."""
    port, key = free_port(), "sk-real-servers-proxy"
    config = folder / "litellm.json"  # JSON is YAML
    models = [{"model_name": name, "litellm_params": dict(params)} for name, params in upstreams.items()]
    settings = {"general_settings": {"master_key": key}, "router_settings": {"enable_pre_call_checks": True}}
    config.write_text(json.dumps({"model_list": models, **settings}))
    command: list[str | Path] = [
        python.with_name("litellm"),
        "--config",
        config,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    server = Server(f"http://127.0.0.1:{port}", next(iter(upstreams)), command, folder / "litellm.log", key)
    with _running(server):
        yield server


@contextmanager
def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
