"""Waiting without blocking the event loop; its twin blocks the thread."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

Sleep = Callable[[float], Awaitable[None]]


async def sleep(seconds: float) -> None:
    """Wait."""
    await asyncio.sleep(seconds)


async def run_blocking(
    work: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """What slow work returns, done in a thread of its own."""
    return await asyncio.to_thread(work, *args, **kwargs)
