"""The app: import time and imported packages."""

import json
import subprocess
import sys

import pytest

_IMPORT = """
import json, resource, sys
import api.app
used = resource.getrusage(resource.RUSAGE_SELF)
heavy = ("torch", "torchvision", "timm", "open_clip", "openai", "celery", "kombu", "redis", "numpy", "alembic")
print(json.dumps([used.ru_utime + used.ru_stime, [name for name in heavy if name in sys.modules]]))
"""


@pytest.mark.slow
def test_import_is_fast_and_loads_no_heavy_packages() -> None:
    # The minimum CPU time of several runs, so that the load of the machine has no influence.
    seconds = []
    for _ in range(4):
        out = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True).stdout
        took, heavy = json.loads(out)
        assert heavy == []
        seconds.append(took)
        if took < 1.5:
            break
    assert min(seconds) < 1.5, seconds
