"""The database's own clock: leases are written and judged by it, so that machines need not agree on the time."""

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class now_s(FunctionElement[float]):
    """Seconds since 1970 by the database's clock, as an SQL expression."""

    type = Double()
    inherit_cache = True


@compiles(now_s, "postgresql")
def _postgresql(_element: Any, _compiler: Any, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(now_s, "sqlite")
def _sqlite(_element: Any, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
