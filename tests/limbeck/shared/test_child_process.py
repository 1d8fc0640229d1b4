"""Child processes that end with their parent, also if they do not react to a signal."""

import os
import signal
import subprocess
import sys
import time

import pytest

from limbeck.shared.child_process import end_with_parent

# The child blocks in C, where Python runs no signal handler, and has a handler for the signal of its parent's death.
CHILD = """
import hashlib, os, signal
from limbeck.shared.child_process import exit_after_parent
signal.signal(signal.SIGTERM, lambda *_: None)
exit_after_parent(0.1)
print(os.getpid(), flush=True)
hashlib.pbkdf2_hmac("sha512", b"x", b"y", 500_000_000)
"""
PARENT = f"""
import subprocess, sys
from limbeck.shared.child_process import end_with_parent
subprocess.run([sys.executable, "-c", {CHILD!r}], process_group=0, preexec_fn=end_with_parent())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
def test_a_child_that_hangs_in_c_ends_after_its_parent_was_killed() -> None:
    assert end_with_parent() is not None
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        try:
            for _ in range(200):
                if not _is_running(child):
                    break
                time.sleep(0.1)
            assert not _is_running(child)
        finally:
            if _is_running(child):
                os.kill(child, signal.SIGKILL)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:  # a zombie has ended
        return stat.read().rpartition(")")[2].split()[0] != "Z"
