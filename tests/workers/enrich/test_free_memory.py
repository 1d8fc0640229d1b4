"""Memory that a part freed in its thread is returned to the system."""

import ctypes
import subprocess
import sys

import pytest

from workers.enrich import free_memory

HAS_TRIM = hasattr(ctypes.CDLL(None), "malloc_trim") if sys.platform == "linux" else False

HOLD = """
import threading
from pathlib import Path
from workers.enrich import free_memory

def rss_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

def work():  # more than 512 bytes each: allocated by the C library. The kept one prevents the arena from shrinking.
    held = [bytes(2_000) for _ in range(50_000)]
    kept.append(held[-1])

kept = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
before = rss_kib()
free_memory.release_free_memory()
print(before - rss_kib())
"""


@pytest.mark.skipif(not HAS_TRIM, reason="this C library has no malloc_trim")
def test_memory_of_an_ended_thread_is_returned() -> None:
    output = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    assert int(output.stdout) > 80_000


def test_nothing_happens_without_malloc_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory.ctypes, "CDLL", lambda _name: object())
    free_memory._malloc_trim.cache_clear()
    try:
        free_memory.release_free_memory()
        assert free_memory._malloc_trim() is None
    finally:
        free_memory._malloc_trim.cache_clear()
