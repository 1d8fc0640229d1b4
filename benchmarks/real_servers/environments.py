"""The virtual environments of the servers, built with pip when first needed and kept in a folder.

    python = build(LLAMA, folder, print)

`transformers serve` needs torch (5.5 GB): its environment uses the packages of this interpreter's environment, and pip
installs only what is missing there. Nothing is installed into this interpreter's environment.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Environment:
    """Pinned requirements of a server. `shares_packages`: the packages of this interpreter are visible too."""

    name: str
    requirements: tuple[str, ...]
    shares_packages: bool = False


LLAMA = Environment("llama.cpp", ("xllamacpp==2026.10.11549", "gguf==0.19.0"))
TRANSFORMERS = Environment("transformers", ("transformers[serving]==5.24.0",), shares_packages=True)
LITELLM = Environment("litellm", ("litellm[proxy]==1.108.7",))


def build(environment: Environment, folder: Path, report: Callable[[str], None]) -> Path:
    """The Python of the environment; builds it unless `folder` has it already.

    `report` gets lines of text about the progress. Raises SystemExit with pip's output if pip fails.
    """
    venv = folder / environment.name
    python, ready = venv / "bin" / "python", venv / "requirements.json"
    recipe = json.dumps([sys.version, sysconfig.get_path("purelib"), *environment.requirements])
    if ready.exists() and ready.read_text() == recipe:
        return python
    report(f"{environment.name}: installing {' '.join(environment.requirements)} into {venv}")
    started = time.monotonic()
    shutil.rmtree(venv, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    if environment.shares_packages:
        _share_packages(python)
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        *environment.requirements,
    ]
    pip = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if pip.returncode:
        raise SystemExit(f"pip cannot install {' '.join(environment.requirements)}:\n{pip.stdout[-2000:]}")
    ready.write_text(recipe)
    report(f"{environment.name}: installed in {time.monotonic() - started:.0f} s")
    return python


def _share_packages(python: Path) -> None:
    """Put this interpreter's packages on the environment's path, after its own, so that pip finds them installed."""
    command: list[str | Path] = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    Path(site, "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
