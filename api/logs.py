"""One JSON line to stderr per request: what was asked, by whom, how it ended; never a header, a query or a body."""

import sys
from typing import Any

import structlog


class _Stderr:
    """Writes to whatever `sys.stderr` is at the time."""

    def msg(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = msg


def logger() -> Any:
    """A logger of the API's own, whatever the process has configured for others."""
    return structlog.wrap_logger(
        _Stderr(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    ).bind()  # now, and not anew for every line
