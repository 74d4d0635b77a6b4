"""Waiting in this thread; the twin of the asynchronous client's."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

Sleep = Callable[[float], None]


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def run_blocking(
    work: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Answer:
    """What slow work returns."""
    return work(*args, **kwargs)
