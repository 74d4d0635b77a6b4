"""The C source, compiled for the processor at hand, once for a user."""

import ctypes
import os
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from jukebox_core.backends.native.kept import is_ours, keep, kept_folder, kept_name
from jukebox_core.child_processes import child_environment
from jukebox_core.errors import ConfigError

SOURCES = tuple(sorted(str(path) for path in Path(__file__).parent.glob("*.c")))
_HEADERS = tuple(sorted(str(path) for path in Path(__file__).parent.glob("*.h")))
COMPILE = (
    *("cc", "-O3", "-march=native", "-mprefer-vector-width=512", "-std=gnu11"),
    # A product and a sum may be one operation, sums are never taken in another order.
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"),
    *("-shared", "-fPIC", "-pthread"),
)


@cache
def native_library() -> ctypes.CDLL:
    """The compiled source.

    Raises:
        ConfigError: there is no working C compiler (`cc`), or what it makes cannot be loaded.
    """
    try:
        kept = _kept_place()
        if kept is not None and is_ours(kept):
            with suppress(OSError):
                return declared(load(kept))
        return _compiled(kept)
    except FileNotFoundError:
        raise ConfigError("the native backend needs a C compiler called cc") from None
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"the native backend cannot be compiled: {error.stderr}") from error
    except OSError as error:
        raise ConfigError(f"the native backend cannot be loaded: {error}") from error


def _kept_place() -> Path | None:
    name = kept_name(COMPILE, (*SOURCES, *_HEADERS))
    folder = kept_folder()
    return folder / name if folder is not None and name is not None else None


def _compiled(kept: Path | None) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "native_step.so"
        command = [*COMPILE, *SOURCES, "-o", str(library), "-lm"]
        subprocess.run(
            command,
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=folder,
            env=child_environment(),
        )
        if kept is not None:
            keep(library, kept)
        return declared(load(library))


def reason_against_compiling() -> str | None:
    """Why this machine cannot have it, as a sentence; None if it can."""
    try:
        native_library()
    except ConfigError as error:
        return str(error)
    return None


def load(library: Path) -> ctypes.CDLL:
    """Also where nothing in the folder for temporary files may be executed, as in containers."""
    try:
        return ctypes.CDLL(str(library))
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
    file = os.memfd_create("native_step")
    try:
        os.write(file, library.read_bytes())
        return ctypes.CDLL(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """The same, with the types of what is called in it."""
    address, number = ctypes.c_void_p, ctypes.c_int64
    library.sample_tokens.argtypes = [address, number, number]
    library.sample_tokens.restype = number
    library.read_logits.argtypes = [address, address, address, number, number, address]
    library.read_logits.restype = number
    library.read_prefix.argtypes = [address, number, address, number, number, address]
    library.read_prefix.restype = number
    library.draw_ids.argtypes = [address, number, address, address, number, address]
    library.draw_ids.restype = number
    return library
