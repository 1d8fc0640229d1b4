"""The request log: one JSON line per request on stderr. It contains no headers, no query strings and no bodies.

Successful polls are at level `debug`, because clients and monitoring send many of them; slow responses are warnings,
and exceptions errors.
"""

import sys
from typing import Literal

import structlog
from structlog.typing import FilteringBoundLogger

LogLevel = Literal["debug", "info", "warning", "error"]
SLOW_S = 5.0
"""A response that begins later than this after its request is slow."""
_POLLED = frozenset({"/healthz", "/readyz", "/metrics", "/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/events"})


class _Stderr:
    """Writes to the current `sys.stderr`."""

    def msg(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = msg


def logger(level: LogLevel = "info") -> FilteringBoundLogger:
    """The API's logger, which is independent of the process's logging configuration."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        _Stderr(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    ).bind()  # bind once, instead of for every line
    return log


def level_of(method: str, route: str, status: int, *, first_byte_s: float, has_exception: bool) -> LogLevel:
    """The level of a request's line. `route`: its path template. A long stream or download is not slow."""
    if has_exception:
        return "error"
    if first_byte_s > SLOW_S:
        return "warning"
    return "debug" if method in ("GET", "HEAD") and route in _POLLED and 200 <= status < 400 else "info"
