"""Environment of a training process: defaults, and one restart of the process to apply them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distill.training import process_environment

PRINT_PROCESS = """
import json, os, sys
from distill.training.process_environment import restart_with_environment
restart_with_environment()
print(json.dumps([sys.argv[1:], os.getpid(), {name: os.environ.get(name) for name in sorted(os.environ)}]))
"""


def test_existing_variables_are_kept() -> None:
    given = {"MALLOC_MMAP_MAX_": "7", "HOME": "/home/me"}
    assert process_environment.training_environment(given) == {**process_environment.MALLOC_SETTINGS, **given}


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc reads the variables")
def test_restart_keeps_process_id_and_arguments(tmp_path: Path) -> None:
    script = tmp_path / "print_process.py"
    script.write_text(PRINT_PROCESS)
    bare = {name: value for name, value in os.environ.items() if name not in process_environment.MALLOC_SETTINGS}
    bare["PYTHONPATH"] = str(Path(process_environment.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-X", "utf8", str(script), "a b", "--c"], env=bare, stdout=subprocess.PIPE
    ) as run:
        output, _ = run.communicate(timeout=60)
    arguments, pid, environment = json.loads(output)
    assert (arguments, pid) == (["a b", "--c"], run.pid)
    assert environment == process_environment.training_environment(bare)
