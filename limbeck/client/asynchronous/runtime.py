"""What the asynchronous client does otherwise than the other one; the module of the other one is written by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")

Sleep = Callable[[float], Awaitable[None]]

sleep: Sleep = asyncio.sleep


async def run_blocking(function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
    """Call a function that blocks, in a thread."""
    return await asyncio.to_thread(function, *args, **kwargs)
