"""Fixtures of all tests live in `tests/fixtures`, one file for each kind of part."""

import gc
import os
import signal

from hypothesis import HealthCheck, settings

# Until the tests begin (`at_once.py`): what is imported stays, and there is much of it.
gc.disable()

# One thread: two cores are shared with servers and workers that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Hundreds of processes are started that import the same modules; compiled once, they start sooner.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# pytest-xdist gives its processes the width of a narrow terminal, which commands would take for
# that of a person: a pipe has none.
os.environ.pop("COLUMNS", None)

# A shell ignores Ctrl-C for what it runs in the background, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every run, and no clock that judges them: what fails here fails everywhere.
settings.register_profile(
    "jukebox", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("jukebox")

pytest_plugins = [
    "pytester",
    "tests.fixtures.at_once",
    "tests.fixtures.models",
    "tests.fixtures.s3_server",
    "tests.fixtures.selection",
    "tests.fixtures.servers",
]
