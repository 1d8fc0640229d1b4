"""When to retry: exponential backoff with jitter, and the `Retry-After` header.

wait_s = retry_after_s(response.headers)
if wait_s is None:
    wait_s = backoff_s(num_failures, first_s=1.0, max_s=60.0)

Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) keeps many clients of one server
from retrying at the same moment.
"""

import random
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

FULL_JITTER = (0.0, 1.0)
NO_JITTER = (1.0, 1.0)


def backoff_s(num_failures: int, *, first_s: float, max_s: float, jitter: tuple[float, float] = FULL_JITTER) -> float:
    """Seconds to wait after `num_failures` failures (from 1) in a row.

    The bound is `first_s` after the first failure, doubles with each further one, and ends at `max_s`. The wait is a
    random share of it, between the two numbers of `jitter`.
    """
    bound_s = first_s
    for _ in range(num_failures - 1):
        if bound_s >= max_s:
            break
        bound_s *= 2
    return min(bound_s, max_s) * random.uniform(*jitter)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After` (seconds or an HTTP date), 0 for a date in the past.

    None without either header, or if it cannot be read. `headers` must not distinguish upper and lower case.
    """
    if (milliseconds := _seconds(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    header = headers.get("retry-after")
    if (seconds := _seconds(header)) is not None or header is None:
        return seconds
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    # A date without a time zone is UTC (RFC 9110).
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time())


def _seconds(value: str | None) -> float | None:
    """A finite number, 0 or more; None for anything else."""
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
