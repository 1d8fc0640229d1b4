"""Helpers of service benchmarks: child processes, their memory and CPU time, and clients with little overhead.

The latency of a poll is measured from the time it was due, not from the time it was sent, so that a stalled service is
charged for the polls that it delayed (coordinated omission).
"""

import asyncio
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


def machine() -> str:
    """CPU, cores, memory, system, Python and load average, in one line."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load {load:.1f} at the start"
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def memory_mib(pid: int, field: str) -> float:
    """`VmRSS` (now) or `VmHWM` (peak) of a process in MiB."""
    line = next(line for line in _lines(f"/proc/{pid}/status") if line.startswith(f"{field}:"))
    return int(line.split()[1]) / 1024


def cpu_s(pid: int) -> float:
    """User and system CPU seconds that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reset_peak_memory(pid: int) -> None:
    """Reset `VmHWM` of a process to its current memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def free_port() -> int:
    """An unused TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that is terminated at the end of the block."""
    child = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.PIPE,
    )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()


def wait_for(url: str, child: subprocess.Popen[bytes], timeout_s: float = 60) -> None:
    """Return as soon as the URL gives any HTTP response. Raises RuntimeError after the timeout or if `child` ended."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not respond") from None
            time.sleep(0.05)


async def polls(
    port: int, path: str, *, per_s: float, seconds: float, connections: int = 20
) -> tuple[list[float], int, float]:
    """Send GETs at a rate of `per_s`. Returns latencies in seconds, the number of non-200 responses, the duration."""
    due: asyncio.Queue[float | None] = asyncio.Queue()
    latencies: list[float] = []
    failed = 0
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()

    async def worker() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (due_at := await due.get()) is not None:
            writer.write(request)
            status, _ = await _response(reader)
            latencies.append(time.perf_counter() - due_at)
            failed += status != 200
        writer.close()

    workers = [asyncio.create_task(worker()) for _ in range(connections)]
    await asyncio.sleep(0.3)
    start = time.perf_counter()
    for number in range(int(per_s * seconds)):
        due_at = start + number / per_s
        if (pause_s := due_at - time.perf_counter()) > 0:
            await asyncio.sleep(pause_s)
        due.put_nowait(due_at)
    for _ in workers:
        due.put_nowait(None)
    await asyncio.gather(*workers)
    return latencies, failed, time.perf_counter() - start


async def _response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


def request_s(port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> float:
    """Seconds from sending a request to the end of its response, over a new connection. Raises for an HTTP error."""
    url = f"http://127.0.0.1:{port}{path}"
    started = time.perf_counter()
    request = urllib.request.Request(url, data=body or None, headers=dict(headers or {}), method=method)
    with urllib.request.urlopen(request, timeout=120) as response:
        response.read()
    return time.perf_counter() - started


def download_s(port: int, path: str, size: int) -> float:
    """Seconds to receive and discard a file of `size` bytes, with little overhead in the receiver."""
    buffer = bytearray(2**20)
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        received = 0
        while count := connection.recv_into(buffer):
            received += count
    if received < size:
        raise RuntimeError(f"{received} of {size} bytes arrived")
    return time.perf_counter() - started
