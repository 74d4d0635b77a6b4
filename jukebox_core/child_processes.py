"""Commands and environments of child processes: no code of the current folder, named variables only

Every child of every process of this project is started with these. A child that decodes untrusted
files must not inherit the credentials of its parent, and `python -m` alone would import modules of
the current folder.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FOR_EVERYONE = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "TZ"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
)
_SEARCH_PATHS = frozenset(
    {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"}
)

TORCH_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_WAIT_POLICY"),
    *("KMP_AFFINITY", "KMP_BLOCKTIME", "GOMP_CPU_AFFINITY", "LD_PRELOAD", "MALLOC_ARENA_MAX"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_HOME", "CUDA_CACHE_PATH"),
    *("CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING", "CUBLAS_WORKSPACE_CONFIG"),
    *("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_TF32_OVERRIDE"),
    *("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ENABLE_MPS_FALLBACK"),
    *("TRITON_CACHE_DIR", "TRITON_INTERPRET", "XDG_CACHE_HOME", "CC"),
)
"""What a child that imports torch may be told about its device, its cores and its caches."""

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def python_command(module: str, *arguments: str) -> list[str]:
    """The command of `python -m module arguments`, which imports nothing of the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def child_environment(*names: str, **values: str) -> dict[str, str]:
    """What a child inherits: what every program needs, the variables `names`, and `values`.

    In search paths only absolute folders are left, since any other entry means the current folder.
    """
    inherited = {name: os.environ[name] for name in (*_FOR_EVERYONE, *names) if name in os.environ}
    for name in _SEARCH_PATHS & inherited.keys():
        folders = inherited[name].split(os.pathsep)
        inherited[name] = os.pathsep.join(filter(os.path.isabs, folders))
        if not inherited[name]:
            del inherited[name]
    return inherited | {"PYTHONSAFEPATH": "1"} | values


def decoder_environment() -> dict[str, str]:
    """The environment of children that decode and encode sound.

    Each thread of a pool that nobody needs would count against the child's limit of memory.
    """
    return child_environment(**_ONE_THREAD)


@contextmanager
def spawning_environment(*names: str) -> Iterator[None]:
    """Within the block this process has the environment that its children shall have.

    For `multiprocessing`, which lets nobody choose one. Other threads see it too, so only commands
    may use it.
    """
    before = dict(os.environ)
    within = child_environment(*names)
    try:
        _replace_environment(within)
        yield
    finally:
        _replace_environment(before)


def _replace_environment(variables: dict[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
