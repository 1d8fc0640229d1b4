"""`limbeck serve --field-guide`: the example of a checkout, with pictures, a teacher and a stand-in LLM of its own."""

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from limbeck.commands.common import BadInput, CommandFailed

if TYPE_CHECKING:
    from store.settings import Settings

_LLM = ("llm_base_url", "llm_model", "llm_endpoints")


def set_up(config: "Settings") -> list[str]:
    """Write the field guide below the data root and make its LLM the one of this service; the command of that LLM.

    Raises BadInput without a checkout, in distributed mode, and if an LLM is set: it could not describe creatures that
    do not exist.
    """
    if find_spec("examples") is None or find_spec("examples.fieldguide") is None:
        raise BadInput("--field-guide needs a checkout of the repository, which has the folder examples")
    if config.distributed:
        raise BadInput("--field-guide is for one machine: unset LIMBECK_REDIS_URL")
    is_set = [f"LIMBECK_{name.upper()}" for name in _LLM if getattr(config, name)]
    if is_set:
        raise BadInput(f"--field-guide has an LLM of its own, which knows its creatures: unset {' and '.join(is_set)}")
    typer.echo(f"Field guide: drawing its pictures in {config.data / 'fieldguide'} unless they are there", err=True)
    command = [sys.executable, "-m", "examples.fieldguide.guide", "--data", str(config.data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the field guide failed")
    port = _port(Path(done.stdout.strip()).with_name("llm-port"))
    os.environ |= {
        "LIMBECK_EXAMPLE": done.stdout.strip(),
        "LIMBECK_LLM_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "LIMBECK_LLM_MODEL": "fieldguide",
        "LIMBECK_LLM_API_KEY": "none-needed",
        "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1"))),
    }
    return [sys.executable, "-m", "examples.fieldguide.llm_server", "--port", str(port)]


def _port(kept: Path) -> int:
    """A free port for the LLM, the same as at the last start if possible: jobs know an LLM by its address, and a job
    with the same inputs is found again."""
    try:
        wanted = int(kept.read_text())
    except (OSError, ValueError):
        wanted = 0
    for port in (wanted, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as free:
                found: int = free.getsockname()[1]
        except (OSError, OverflowError):
            continue
        kept.write_text(str(found))
        return found
    raise CommandFailed("there is no free port for the LLM of the field guide")
