"""Fixtures of all tests live in `tests/fixtures`, one file for each kind of part."""

import os

# One thread: two cores are shared with servers and workers that the tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.fixtures.models", "tests.fixtures.servers"]
