"""Structured logs: one JSON object per line on stderr, with time and level. Never log a key, a header or a prompt."""

import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from store.settings import Settings


def configure(settings: "Settings") -> None:
    """Configure structlog for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
