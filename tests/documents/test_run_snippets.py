"""The blocks of the tutorial and the how-to pages run in order, as a reader would run them, in one folder.

The ports of the documents are replaced by free ones, and `my-picture.jpg` is a picture that is no creature.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.documents.snippets import ROOT, Snippet, snippets

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

PAGES = [
    "docs/tutorial.md",
    "docs/how-to/web-pages.md",
    "docs/how-to/own-data.md",
    "docs/how-to/uploads.md",
    "docs/how-to/attributes.md",
    "docs/how-to/training.md",
    "docs/how-to/production.md",
    "docs/how-to/new-words.md",
    "docs/how-to/evaluation.md",
    "docs/how-to/multi-label.md",
    "docs/how-to/load.md",
    "docs/how-to/http.md",
    "docs/how-to/keys.md",
    "docs/how-to/backup.md",
    "docs/how-to/job-control.md",
    "docs/how-to/checkpoints.md",
    "docs/how-to/monitoring.md",
    "docs/how-to/webhooks.md",
    "docs/how-to/several-gpus.md",
    "docs/how-to/paper.md",
    "docs/operations.md",
    "docs/how-to/scale.md",
    "docs/hub.md",
]
_START_S = 90.0
_KEPT = "SET VOCABULARY DATASET CHECKPOINT JOB LIMBECK_KEY LIMBECK_HOME"
# Writes the variables that later blocks use, exported or not, for `source`.
_KEEP = f"(declare -p {_KEPT} 2>/dev/null || true) > .variables"


def test_every_how_to_page_is_run() -> None:
    assert {f"docs/how-to/{page.name}" for page in (ROOT / "docs" / "how-to").glob("*.md")} <= set(PAGES)


def test_the_pages_can_be_followed(tmp_path: Path) -> None:
    reader = _Reader(tmp_path)
    with reader.servers():
        for page in PAGES:
            for snippet in snippets(ROOT / page):
                if snippet.language in ("sh", "python") and snippet.how != "checked":
                    reader.follow(snippet)
    assert "my-picture.jpg  " in reader.output["docs/tutorial.md"], "the prediction on the reader's own picture"


class _Reader:
    """Runs blocks in `folder`, which has the packages of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output: dict[str, str] = {}
        self.ports = {"8765": str(_free_port()), "8420": str(_free_port())}
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in (
            "examples",
            "workers",
            "api",
            "attributes",
            "distill",
            "store",
            "limbeck",
            "migrations",
            "alembic.ini",
        ):
            (folder / name).symlink_to(ROOT / name)
        noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / "my-picture.jpg")
        self._variables = folder / ".variables"
        self._variables.write_text("")

    @contextmanager
    def servers(self) -> Iterator[None]:
        try:
            yield
        finally:
            for process in self._processes:
                os.killpg(process.pid, signal.SIGTERM)
            for process in self._processes:
                process.wait(60)

    def follow(self, snippet: Snippet) -> None:
        """Run a block; a shell block keeps its variables for the next ones, as in a terminal."""
        code = snippet.code
        for written, used in self.ports.items():
            code = code.replace(written, used)
        if snippet.how == "background":
            self._start(snippet, code)
            return
        if snippet.language == "python":
            command = [sys.executable, "-c", code]
        else:
            command = ["bash", "-euo", "pipefail", "-c", f"source .variables\n{code}\n{_KEEP}"]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        page = snippet.path.relative_to(ROOT).as_posix()
        self.output[page] = self.output.get(page, "") + done.stdout + done.stderr
        shown = f"{snippet}\n{code}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        print(shown)
        assert done.returncode == 0, shown

    def _start(self, snippet: Snippet, code: str) -> None:
        log = self.folder / f"server-{len(self._processes)}.log"
        with log.open("wb") as out:
            command = ["bash", "-euo", "pipefail", "-c", code]
            self._processes.append(
                subprocess.Popen(
                    command, cwd=self.folder, env=self._environment(), stdout=out, stderr=out, process_group=0
                )
            )
        port = self.ports["8420" if "limbeck serve" in code else "8765"]
        address = f"http://127.0.0.1:{port}/{'readyz' if 'limbeck serve' in code else 'stats'}"
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(address, timeout=5):
                    return
            except OSError:
                time.sleep(0.3)
        pytest.fail(f"{snippet} did not start: {log.read_text()[-3000:]}")

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LIMBECK_", "HF_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        port = self.ports["8420"]
        return kept | {
            "PATH": path,
            "PYTHONPATH": str(self.folder),
            "LIMBECK_PORT": port,
            "LIMBECK_URL": f"http://127.0.0.1:{port}",
            "NO_PROXY": "127.0.0.1",
        }


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
