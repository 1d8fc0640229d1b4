"""The request log: one JSON line per request on stderr. It contains no headers, no query strings and no bodies."""

import sys

import structlog
from structlog.typing import FilteringBoundLogger


class _Stderr:
    """Writes to the current `sys.stderr`."""

    def msg(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = msg


def logger() -> FilteringBoundLogger:
    """The API's logger, which is independent of the process's logging configuration."""
    log: FilteringBoundLogger = structlog.wrap_logger(
        _Stderr(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    ).bind()  # bind once, instead of for every line
    return log
