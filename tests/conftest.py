"""Fixtures of all tests live in `tests/fixtures`, one file for each kind of part."""

import os
import signal

# One thread: two cores are shared with servers and workers that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell ignores Ctrl-C for what it runs in the background, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.fixtures.models", "tests.fixtures.servers"]
