"""Delay of `/healthz` while large bodies are read: `python -m benchmarks.responsiveness.bodies`.

Each body is as large as its route allows, valid or made to be costly. The target: no body delays another request by
more than 0.2 s.
"""

import asyncio
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from api.http import body_limits
from benchmarks import load
from benchmarks.measurement import Measurement
from benchmarks.responsiveness import api_process
from benchmarks.responsiveness.api_process import ApiProcess

_HEALTHZ_PER_S = 50
_SECONDS = 6.0
_LABELS = [{"name": f"species number {n} of a long list of names", "sense": f"sense {n % 7}"} for n in range(100_000)]


def bodies() -> Iterator[tuple[str, str, bytes]]:
    """(name, path, JSON) of each body."""
    vocabulary = {"name": "all", "domain": "birds", "labels": _LABELS}
    yield "plan of 100,000 labels", "/v1/plan", json.dumps({"vocabulary": vocabulary}).encode()
    for path, limit in (("/v1/plan", body_limits.PLAN_BYTES), ("/v1/jobs", body_limits.JSON_BYTES)):
        yield f"{limit // 2**20} MiB of numbers", path, b'{"a":[' + b"1," * (limit // 2 - 10) + b"1]}"
        yield f"{limit // 2**20} MiB of nested lists", path, b'{"a":[' + b"[1]," * (limit // 4 - 10) + b"1]}"
        wrong = b'{"vocabulary":{"name":"a","labels":[' + b"1," * (limit // 2 - 40) + b"1]}}"
        yield f"{limit // 2**20} MiB of labels that are numbers", path, wrong
        keys = b",".join(b'"%d":1' % number for number in range(limit // 12))
        yield f"{limit // 2**20} MiB of unknown keys", path, b"{" + keys + b"}"


def _post(port: int, path: str, body: bytes) -> int:
    time.sleep(1.0)
    url, headers = f"http://127.0.0.1:{port}{path}", {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers), timeout=120) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def measure(api: ApiProcess) -> Iterator[Measurement]:
    """The delay of `/healthz` beside each body."""
    for name, path, body in bodies():
        with ThreadPoolExecutor(1) as executor:
            status = executor.submit(_post, api.port, path, body)
            found, failed, _ = asyncio.run(load.polls(api.port, "/healthz", per_s=_HEALTHZ_PER_S, seconds=_SECONDS))
        measured = f"{api_process.percentiles(found)}; {len(body) / 2**20:.1f} MiB, status {status.result()}"
        yield Measurement(f"POST {path}: {name}", "max ≤ 200 ms", measured, max(found) <= 0.2 and not failed)


def main() -> int:
    """Run the command line; returns 1 if a target is missed."""
    return api_process.run(api_process.parser(__doc__.splitlines()[0]).parse_args().only, measure)


if __name__ == "__main__":
    sys.exit(main())
