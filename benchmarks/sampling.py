"""Where an enrich worker's time goes: `python -m benchmarks.sampling OUT.json` is the embedded worker, looked at.

A thread notes every few milliseconds what each of the others is doing, by the innermost frame that belongs to a
subject: the CPU time that the kernel counted for the thread since the last look goes there, so that a thread which
waits (for an answer, a commit, the GIL) counts for what it computes and no more. Written at the end.
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

EVERY_S = 0.003
SWITCH_S = 1e-4  # how long the sampler waits for the GIL; by default it would come whenever a thread lets go of it
# The first piece of a path that is found, from the innermost frame outwards, says what is being done.
SUBJECTS = {
    "/openai/": "LLM client",
    "/httpx2/": "LLM client",
    "/httpcore2/": "LLM client",
    "/h11/": "LLM client",
    "/anyio/": "LLM client",
    "attributes/llm/transport.py": "LLM client",
    "/ssl.py": "LLM client",
    "attributes/": "prompts, JSON, validation",
    "/jsonschema/": "prompts, JSON, validation",
    "workers/enrich/questions.py": "prompts, JSON, validation",
    "/sqlalchemy/": "commit",
    "/psycopg/": "commit",
    "store/": "commit",
    "workers/enrich/usage.py": "commit",
    "workers/": "the worker's own",
    "/asyncio/selector_events.py": "LLM client",
    "/asyncio/": "event loop",
}
OTHER = "other"


def subject_of(frame: FrameType | None) -> str:
    """What a thread in this frame is about."""
    while frame is not None:
        path = frame.f_code.co_filename
        for piece, subject in SUBJECTS.items():
            if piece in path:
                return subject
        frame = frame.f_back
    return OTHER


class Sampler:
    """Looks at the threads of this process from `start` to `stop`."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="sampler", daemon=True)
        self._seconds: dict[str, float] = defaultdict(float)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> dict[str, float]:
        """Subject → seconds of CPU."""
        self._ended.set()
        self._thread.join()
        return dict(self._seconds)

    def _look(self) -> None:
        own = threading.get_ident()
        before: dict[int, float] = {}
        while not self._ended.wait(EVERY_S):
            frames = sys._current_frames()
            for thread in threading.enumerate():
                if thread.ident is None or thread.native_id is None or thread.ident == own:
                    continue
                used = _thread_cpu_s(thread.native_id)
                # A thread's CPU since it was last looked at goes to what it is at now.
                self._seconds[subject_of(frames.get(thread.ident))] += used - before.get(thread.native_id, used)
                before[thread.native_id] = used


def _thread_cpu_s(native_id: int) -> float:
    try:
        return int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0


def main(work: Callable[[], None]) -> None:
    """Work under the sampler, and write what it found."""
    sys.setswitchinterval(SWITCH_S)
    sampler = Sampler()
    sampler.start()
    began = time.monotonic()
    work()
    seconds = sampler.stop()
    used = os.times()
    told = {"wall_s": time.monotonic() - began, "cpu_s": used.user + used.system, "seconds": seconds}
    Path(sys.argv[1]).write_text(json.dumps(told))


if __name__ == "__main__":
    from workers.embedded import main as embedded

    main(embedded)
