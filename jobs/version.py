"""The version of the installed package; `unknown` where only the sources are there."""

from importlib.metadata import PackageNotFoundError, version


def _installed_version() -> str:
    try:
        return version("jukebox-service")
    except PackageNotFoundError:
        return "unknown"


VERSION = _installed_version()
