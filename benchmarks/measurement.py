"""One row of a benchmark's table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """A measured value and its target. `ok`: whether the target was met; None for a skipped measurement."""

    name: str
    target: str
    measured: str
    ok: bool | None

    @property
    def verdict(self) -> str:
        """`ok`, `MISSED`, or empty for a skipped measurement."""
        return {True: "ok", False: "MISSED", None: ""}[self.ok]
