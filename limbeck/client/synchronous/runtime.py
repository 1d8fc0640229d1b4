"""What this client does otherwise than the asynchronous one: the only module of this folder that is written by hand."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

Sleep = Callable[[float], None]

sleep: Sleep = time.sleep


def run_blocking(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call a function that blocks."""
    return function(*args, **kwargs)
