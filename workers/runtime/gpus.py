"""The GPUs that this worker may use, counted once and without loading torch into the process.

A worker trains in child processes and never touches a GPU itself. torch counts the GPUs, in a separate process,
because it knows every driver and `CUDA_VISIBLE_DEVICES`. Where no driver is loaded, there is nothing to count.
"""

import subprocess
import sys
from functools import cache
from pathlib import Path

import structlog

log = structlog.get_logger()
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, Windows' subsystem for Linux
_COUNT = "import torch; print(torch.cuda.device_count())"
_TIMEOUT_S = 300.0


@cache
def count_gpus() -> int:
    """The number of GPUs; 0 without a driver, and if they cannot be counted."""
    if not any(Path(driver).exists() for driver in _DRIVERS):
        return 0
    try:
        counted = subprocess.run(
            [sys.executable, "-c", _COUNT], capture_output=True, timeout=_TIMEOUT_S, check=True, text=True
        )
        return int(counted.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        log.warning("gpus_not_counted", error=f"{type(error).__name__}: {error}"[:300])
        return 0
