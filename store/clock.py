"""The database clock. Leases are written and checked with it, so that the clocks of the machines may differ."""

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class now_s(FunctionElement[float]):
    """SQL expression: the current time of the database in seconds since 1970."""

    type = Double()
    inherit_cache = True


@compiles(now_s, "postgresql")
def _postgresql(_element: now_s, _compiler: SQLCompiler, **_: object) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(now_s, "sqlite")
def _sqlite(_element: now_s, _compiler: SQLCompiler, **_: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
