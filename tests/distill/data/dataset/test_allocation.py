"""Memory of arrays that grow side by side, and are freed, in a process of its own."""

import platform
import subprocess
import sys

import pytest

_GROW = """
from array import array
from distill.data.dataset.allocation import map_large_blocks

def resident_mb():
    text = open("/proc/self/status").read()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024

if {maps}:
    map_large_blocks()
bytearray(30 << 20)  # glibc maps it, and raises its limit when it is freed
before = resident_mb()
rows = [array("i") for _ in range(4)]
for _ in range(2000):
    for one in rows:
        one.extend(range(2000))
del rows[1:]
print(resident_mb() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such limit")
def test_freed_arrays_return_their_memory() -> None:
    def kept_mb(*, maps: bool) -> float:
        run = [sys.executable, "-c", _GROW.format(maps=maps)]
        return float(subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout)

    assert kept_mb(maps=True) < kept_mb(maps=False) / 2
