"""Ctrl-C in commands, as real processes: one line says what goes on at the service, and the exit code is 130."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from limbeck.interrupts import Requests, interrupt_deferred, interrupted_text
from limbeck.models import Job
from tests.limbeck.helpers import SPEND, VOCABULARY, job, page
from tests.limbeck.processes import until

GOES_ON = (
    "limbeck: interrupted; the enrich job job_1 goes on at the service and goes on spending (running: 1/4 labels, "
    "$0.01 spent, about $0.02 in all (cap $2.50)): `limbeck watch job_1` follows it, `limbeck cancel job_1` stops it\n"
)


@dataclass
class SlowService:
    """A service that does not respond to the request `hangs` (`POST /v1/jobs`) until `released`."""

    hangs: str
    url: str = ""
    seen: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: str) -> Any:
        self.seen.append(request)
        if request == self.hangs:
            self.released.wait(30)
        if "vocabularies" in request:
            return VOCABULARY
        if "events" in request:
            return page()
        return job("cancelling" if "cancel" in request else "running", spend=SPEND)


@contextmanager
def slow_service(hangs: str) -> Iterator[SlowService]:
    service = SlowService(hangs)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = json.dumps(service.answer(f"{self.command} {self.path.partition('?')[0]}")).encode()
            try:
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the command has ended
                self.close_connection = True

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def start_enrich(service: SlowService, folder: Path, **options: Any) -> "subprocess.Popen[bytes]":
    (folder / "labels.txt").write_text("crane\nheron\n")
    command = [sys.executable, "-m", "limbeck.cli", "enrich", str(folder / "labels.txt"), "--url", service.url]
    return subprocess.Popen(command, start_new_session=True, **options)


def test_without_a_terminal_one_line_says_that_nothing_was_started(tmp_path: Path) -> None:
    with slow_service("POST /v1/vocabularies") as service:
        process = start_enrich(service, tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until(lambda: service.hangs in service.seen)
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=30)
    assert printed == b"limbeck: interrupted; no job was started; the service may have stored the labels\n"
    assert process.returncode == 130


def test_an_interrupt_waits_for_the_id_of_a_job_that_is_being_started(tmp_path: Path) -> None:
    with slow_service("POST /v1/jobs") as service:
        process = start_enrich(service, tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until(lambda: service.hangs in service.seen)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        first = process.stderr.readline()
        service.released.set()
        _, printed = process.communicate(timeout=30)
    assert first == b"limbeck: waiting for the id of the job that was just requested; Ctrl-C again does not wait\n"
    assert printed.decode() == GOES_ON
    assert process.returncode == 130


def test_on_a_terminal_a_second_interrupt_asks_and_cancels(tmp_path: Path) -> None:
    terminal, inner = pty.openpty()
    shown = bytearray()

    def read_until(text: bytes) -> None:
        while text not in shown:
            shown.extend(os.read(terminal, 10_000))

    with slow_service("GET /v1/jobs/job_1/events") as service:
        env = {**os.environ, "COLUMNS": "200"}
        process = start_enrich(service, tmp_path, stdin=inner, stdout=inner, stderr=inner, env=env)
        os.close(inner)
        until(lambda: service.hangs in service.seen)
        read_until(b"enrich job job_1")
        process.send_signal(signal.SIGINT)
        read_until(b"press Ctrl-C again within 4 s to cancel it\r\n")
        time.sleep(0.1)  # it is printed before the wait begins
        process.send_signal(signal.SIGINT)
        read_until(b"cancel job job_1? [y/N] ")
        os.write(terminal, b"y\n")
        read_until(b"limbeck: job_1 cancelling; finished work is kept\r\n")
        assert process.wait(timeout=30) == 130
    os.close(terminal)
    assert GOES_ON.encode().rstrip() in shown
    assert "POST /v1/jobs/job_1/cancel" in service.seen


def test_what_was_under_way_is_named() -> None:
    assert interrupted_text(Requests()) == "interrupted; no job was started"
    for request, text in (
        ("POST /v1/datasets", "no job was started; the service may still register the images (`limbeck dataset list`)"),
        ("POST /v1/jobs", "the service may have started the job: `limbeck jobs` lists it"),
        ("POST /v1/jobs/estimate", "no job was started"),
        ("POST /v1/jobs?dry_run", "no job was started"),
        ("DELETE /v1/datasets/d", "the service may still do what was requested last: DELETE /v1/datasets/d"),
        (
            "GET /v1/checkpoints/ckp_1/files/image/model.safetensors",
            "no job goes on; `limbeck download ckp_1` into the same folder continues",
        ),
    ):
        assert interrupted_text(Requests(under_way=request)) == f"interrupted; {text}"
    ended = Requests(jobs={"job_1": Job.model_validate(job("succeeded"))})
    assert interrupted_text(ended) == "interrupted; no job goes on"
    trained = Job.model_validate(job("running", kind="distill"))
    assert "goes on at the service (running: 1/4 labels)" in interrupted_text(Requests(jobs={"job_1": trained}))


def test_the_first_interrupt_waits_and_the_second_does_not(capfd: pytest.CaptureFixture[str]) -> None:
    reached: list[str] = []

    def interrupted(times: int, text: str) -> None:
        with interrupt_deferred("busy"):
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
            reached.append(text)

    with pytest.raises(KeyboardInterrupt):
        interrupted(1, "the end of the block")
    with pytest.raises(KeyboardInterrupt):
        interrupted(2, "never")
    assert reached == ["the end of the block"]
    assert capfd.readouterr().err == "limbeck: busy; Ctrl-C again does not wait\n" * 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
