"""CPU profile of an enrich worker: `python -m benchmarks.sampling OUT.json` runs the embedded worker under a sampler.

A thread samples all other threads every few milliseconds. The CPU time that the kernel counted for a thread since the
last sample goes to the subject of its innermost frame. A waiting thread (for a response, a commit, the GIL) uses no CPU
and counts nothing. The profile is written at the end.
"""

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import FrameType

SAMPLE_INTERVAL_S = 0.003
SWITCH_INTERVAL_S = 1e-4  # shorter than Python's default of 5 ms, so that the sampler gets the GIL in time
# Part of a path -> subject; the first match from the innermost frame outwards counts.
SUBJECTS = {
    "/openai/": "LLM client",
    "/httpx2/": "LLM client",
    "/httpcore2/": "LLM client",
    "/h11/": "LLM client",
    "/anyio/": "LLM client",
    "attributes/llm/transport.py": "LLM client",
    "attributes/llm/http/": "LLM client",
    "/ssl.py": "LLM client",
    "attributes/": "prompts, JSON, validation",
    "/jsonschema/": "prompts, JSON, validation",
    "workers/enrich/questions.py": "prompts, JSON, validation",
    "/sqlalchemy/": "commit",
    "/psycopg/": "commit",
    "store/": "commit",
    "workers/enrich/recording.py": "commit",
    "workers/enrich/call_costs.py": "commit",
    "workers/": "worker",
    "/asyncio/selector_events.py": "LLM client",
    "/asyncio/": "event loop",
}
OTHER = "other"


def subject_of(frame: FrameType | None) -> str:
    """The subject of the innermost frame that has one, else `other`."""
    while frame is not None:
        path = frame.f_code.co_filename
        for path_part, subject in SUBJECTS.items():
            if path_part in path:
                return subject
        frame = frame.f_back
    return OTHER


class CpuSampler:
    """Samples the threads of this process from `start` to `stop`."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._seconds: dict[str, float] = defaultdict(float)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """Subject -> seconds of CPU."""
        self._stopped.set()
        self._thread.join()
        return dict(self._seconds)

    def _run(self) -> None:
        own = threading.get_ident()
        last_cpu_s: dict[int, float] = {}
        while not self._stopped.wait(SAMPLE_INTERVAL_S):
            frames = sys._current_frames()
            for thread in threading.enumerate():
                if thread.ident is None or thread.native_id is None or thread.ident == own:
                    continue
                cpu_s = _thread_cpu_s(thread.native_id)
                # The CPU time since the last sample goes to the current subject.
                self._seconds[subject_of(frames.get(thread.ident))] += cpu_s - last_cpu_s.get(thread.native_id, cpu_s)
                last_cpu_s[thread.native_id] = cpu_s


def _thread_cpu_s(native_id: int) -> float:
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0


def main(work: Callable[[], None]) -> None:
    """Run `work` under the sampler and write the profile."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    sampler = CpuSampler()
    sampler.start()
    start = time.monotonic()
    work()
    seconds = sampler.stop()
    cpu = os.times()
    profile = {"wall_s": time.monotonic() - start, "cpu_s": cpu.user + cpu.system, "seconds": seconds}
    Path(sys.argv[1]).write_text(json.dumps(profile))


if __name__ == "__main__":
    from workers.embedded import main as embedded

    main(embedded)
