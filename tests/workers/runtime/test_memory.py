"""What a part lets go of does not stay with its thread."""

import ctypes
import subprocess
import sys

import pytest

from workers.runtime import memory

HAS_TRIM = hasattr(ctypes.CDLL(None), "malloc_trim") if sys.platform == "linux" else False

HOLD = """
import threading
from pathlib import Path
from workers.runtime import memory

def rss_kib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

def work():  # beyond 512 bytes, so that it is the C library's; one in so many stays and keeps its arena from shrinking
    held = [bytes(2_000) for _ in range(50_000)]
    kept.append(held[-1])

kept = []
thread = threading.Thread(target=work)
thread.start()
thread.join()
before = rss_kib()
memory.give_back()
print(before - rss_kib())
"""


@pytest.mark.skipif(not HAS_TRIM, reason="this C library gives memory back in its own way")
def test_what_a_thread_has_let_go_of_goes_back() -> None:
    told = subprocess.run([sys.executable, "-c", HOLD], capture_output=True, text=True, check=True)
    assert int(told.stdout) > 80_000


def test_without_such_a_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _name: object())
    memory._trim.cache_clear()
    try:
        memory.give_back()
        assert memory._trim() is None
    finally:
        memory._trim.cache_clear()
