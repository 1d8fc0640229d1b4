"""What a check found, and how checks are run: at the same time, each with a time limit, none ending another."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Overdue
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Literal

Status = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Diagnosis:
    """The result of a check. `remedy` says what to do, if the status is not ok. No text contains a secret."""

    name: str
    status: Status
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


Check = Callable[[], Iterable[Diagnosis]]


def ok(name: str, detail: str) -> Diagnosis:
    return Diagnosis(name, "ok", detail)


def warning(name: str, detail: str, remedy: str) -> Diagnosis:
    return Diagnosis(name, "warning", detail, remedy)


def failed(name: str, detail: str, remedy: str) -> Diagnosis:
    return Diagnosis(name, "failed", detail, remedy)


def run_checks(checks: Mapping[str, Check], *, timeout_s: float) -> list[Diagnosis]:
    """The results in the order of `checks`. A check that raises or takes longer than `timeout_s` is a failed one."""
    deadline = monotonic() + timeout_s
    running = {name: _start(check) for name, check in checks.items()}
    return [one for name, future in running.items() for one in _result(name, future, deadline, timeout_s)]


def _start(check: Check) -> "Future[Sequence[Diagnosis]]":
    # A daemon thread, not a pool: a check that hangs does not keep the program from ending.
    future: Future[Sequence[Diagnosis]] = Future()

    def run() -> None:
        try:
            future.set_result(tuple(check()))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _result(name: str, future: "Future[Sequence[Diagnosis]]", deadline: float, timeout_s: float) -> Sequence[Diagnosis]:
    try:
        return future.result(max(0.0, deadline - monotonic()))
    except Overdue:
        remedy = "see whether the network, the disk or the server behind it hangs"
        return [failed(name, f"no result within {timeout_s:g} s", remedy)]
    except BaseException as error:
        return [failed(name, f"the check ended with {type(error).__name__}", _remedy_of(error))]


def _remedy_of(error: BaseException) -> str:
    from limbeck.shared.parts import missing_part

    missing = missing_part(error) if isinstance(error, ModuleNotFoundError) else None
    return missing or "report this as a fault of limbeck doctor"
