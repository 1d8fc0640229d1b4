"""Ctrl-C in a command that uses a service: which jobs go on, how to watch and how to stop them.

The client of the commands remembers its jobs and its last request. While a request that starts a job is under way,
Ctrl-C waits for the response, because only the response names the job.
"""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import httpx2
from pydantic import ValidationError

from limbeck import Client
from limbeck.client.environment import api_key, service_url
from limbeck.client.synchronous.http import Http
from limbeck.errors import StoppedFollowing
from limbeck.job_texts import spend_text, state_text
from limbeck.models import Job

ASK_WITHIN_S = 4.0
_STARTS_JOB = re.compile(r"POST (/v1/jobs|/v1/attribute-sets/[^/]+/report)")
_RETURNS_JOB = re.compile(rf"{_STARTS_JOB.pattern}|GET /v1/jobs/[^/]+|POST /v1/jobs/[^/]+/cancel")
_CHANGES_NOTHING = re.compile(r"GET .*|.*/(estimate|preview)|.*\?dry_run")
_MAY_BE_DONE = {
    "POST /v1/plan": "nothing was stored",
    "POST /v1/jobs": "the service may have started the job: `limbeck jobs` lists it",
    "POST /v1/datasets": "no job was started; the service may still register the images (`limbeck dataset list`)",
    "POST /v1/vocabularies": "no job was started; the service may have stored the labels",
}


@dataclass
class Requests:
    """What a command has requested.

    `jobs`: id → the job as it was last seen. `under_way`: method and path, empty between two requests.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    under_way: str = ""

    @property
    def live_jobs(self) -> list[Job]:
        """The jobs that had not ended when they were last seen."""
        return [job for job in self.jobs.values() if not job.ended]


class CommandHttp(Http):
    """Requests of a command, which are remembered."""

    def __init__(self, base_url: str, *, key: str | None = None) -> None:
        super().__init__(base_url, key=key)
        self.requests = Requests()

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        is_dry = (options.get("params") or {}).get("dry_run")
        self.requests.under_way = request = f"{method} {path}{'?dry_run' if is_dry else ''}"
        if _STARTS_JOB.fullmatch(request):
            with interrupt_deferred("waiting for the id of the job that was just requested"):
                response = self._remembered(request, super().request(method, path, **options))
        else:
            response = self._remembered(request, super().request(method, path, **options))
        self.requests.under_way = ""
        return response

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        self.requests.under_way = f"{method} {path}"
        with super().stream(method, path, **options) as response:
            yield response
        self.requests.under_way = ""

    def _remembered(self, request: str, response: httpx2.Response) -> httpx2.Response:
        if _RETURNS_JOB.fullmatch(request):
            with suppress(ValidationError):  # the client reports a response that is no job
                job = Job.model_validate_json(response.content)
                self.requests.jobs[job.id] = job
        return response


class CommandClient(Client):
    """The client of a command. `requests`: what it has requested so far."""

    def __init__(self, base_url: str | None = None) -> None:
        http = CommandHttp(service_url(base_url), key=api_key(None))
        self.requests = http.requests
        self._use(http)


@contextmanager
def interrupt_deferred(reason: str) -> Iterator[None]:
    """The first Ctrl-C takes effect when the block ends, and prints the `reason`; a second one takes effect at once.

    Does nothing outside the main thread, and if SIGINT has another handler.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    is_pending = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_pending
        if is_pending:
            raise KeyboardInterrupt
        is_pending = True
        os.write(sys.stderr.fileno(), f"limbeck: {reason}; Ctrl-C again does not wait\n".encode())

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if is_pending:
        raise KeyboardInterrupt


def stopped_following(client: CommandClient) -> StoppedFollowing:
    """The exception for a command that was interrupted; on a terminal, a second Ctrl-C asks whether to cancel its jobs.

    Its text is empty if everything was said. Raises LimbeckError if a job cannot be cancelled.
    """
    text, live = interrupted_text(client.requests), client.requests.live_jobs
    if not live or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return StoppedFollowing(text)
    them = "it" if len(live) == 1 else "them"
    _say(f"limbeck: {text}\npress Ctrl-C again within {ASK_WITHIN_S:.0f} s to cancel {them}\n")
    try:
        time.sleep(ASK_WITHIN_S)
        return StoppedFollowing("")
    except KeyboardInterrupt:
        pass
    ids = ", ".join(job.id for job in live)
    if not _confirmed(f"\ncancel job {ids}? [y/N] "):
        return StoppedFollowing(f"{ids} {'goes' if len(live) == 1 else 'go'} on")
    statuses = [f"{job.id} {client.jobs.cancel(job).status}" for job in live]
    return StoppedFollowing(f"{', '.join(statuses)}; finished work is kept")


def _confirmed(question: str) -> bool:
    _say(question)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        _say("\n")
        return False


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def interrupted_text(requests: Requests) -> str:
    """What goes on at the service, in one line."""
    if live := requests.live_jobs:
        return f"interrupted; {'; '.join(map(_goes_on_text, live))}"
    request = requests.under_way
    if request and not _CHANGES_NOTHING.fullmatch(request):
        return (
            f"interrupted; {_MAY_BE_DONE.get(request, f'the service may still do what was requested last: {request}')}"
        )
    if download := re.fullmatch(r"GET /v1/checkpoints/([^/]+)/files/.*", request):
        return f"interrupted; no job goes on; `limbeck download {download[1]}` into the same folder continues"
    return f"interrupted; {'no job goes on' if requests.jobs else 'no job was started'}"


def _goes_on_text(job: Job) -> str:
    spends = " and goes on spending" if job.kind == "enrich" else ""
    state = ", ".join(text for text in (state_text(job), spend_text(job.spend)) if text)
    return (
        f"the {job.kind} job {job.id} goes on at the service{spends} ({state}): "
        f"`limbeck watch {job.id}` follows it, `limbeck cancel {job.id}` stops it"
    )
