"""A process that trains has the environment that it wants, from its start and once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distill.training import process_environment

TELLS = """
import json, os, sys
from distill.training.process_environment import begin_again
begin_again()
print(json.dumps([sys.argv[1:], os.getpid(), {name: os.environ.get(name) for name in sorted(os.environ)}]))
"""


def test_what_stands_there_already_is_left() -> None:
    given = {"MALLOC_MMAP_MAX_": "7", "HOME": "/home/me"}
    assert process_environment.environment(given) == {**process_environment.KEEP_MEMORY, **given}


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone reads it")
def test_it_begins_again_as_the_same_process_with_the_same_words(tmp_path: Path) -> None:
    script = tmp_path / "tells.py"
    script.write_text(TELLS)
    bare = {name: value for name, value in os.environ.items() if name not in process_environment.KEEP_MEMORY}
    bare["PYTHONPATH"] = str(Path(process_environment.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-X", "utf8", str(script), "a b", "--c"], env=bare, stdout=subprocess.PIPE
    ) as run:
        told, _ = run.communicate(timeout=60)
    words, pid, environment = json.loads(told)
    assert (words, pid) == (["a b", "--c"], run.pid)
    assert environment == process_environment.environment(bare)
