"""The app: import time and imported packages."""

import json
import subprocess
import sys

import pytest

_IMPORT = """
import json, sys
import api.app
heavy = ("torch", "torchvision", "timm", "open_clip", "openai", "celery", "kombu", "redis", "numpy", "alembic")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


@pytest.mark.slow
def test_import_loads_no_heavy_packages() -> None:
    """`python -m benchmarks.service` measures the time."""
    found = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == []
