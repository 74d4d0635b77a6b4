"""Faults that a child process brings upon itself; `FAULT` in its environment says which.

Python imports this module before anything else in a child whose PYTHONPATH names this folder. What
is made to fail are libraries and the system where that suffices, so that the service's own code
runs as it is.
"""

import importlib.abc
import importlib.util
import json
import os
import signal
import sys
import time

FAULT = json.loads(os.environ.get("FAULT") or "{}")


def die():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls `change(module)` right after the module called `name` was imported."""

    def __init__(self, name, change):
        self.name, self.change = name, change

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            self.change(module)

        spec.loader.exec_module = exec_module
        return spec


def die_in_sync(name):
    """A file whose name has `name` in it is written, and has not got its name yet."""
    sync = os.fsync

    def fsync(fd):
        if name in os.path.basename(os.readlink(f"/proc/self/fd/{fd}")):
            die()
        sync(fd)

    os.fsync = fsync


def stop_in_sync(name, after=0, then_sec=0.0):
    """The process freezes, once, with a file written that has not got its name yet.

    `after` so many of that name were written; those that come later take `then_sec` each.
    """
    sync, left = os.fsync, [after]

    def fsync(fd):
        if name in os.path.basename(os.readlink(f"/proc/self/fd/{fd}")):
            left[0] -= 1
            if left[0] == -1:
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(0.5)  # another thread may take the signal, and this one run on till then
            elif left[0] < -1:
                time.sleep(then_sec)
        sync(fd)

    os.fsync = fsync


def fail_for_seed(seed, how, *, position=20, times=None):
    """Drawing a song with this seed fails from a position on: for good, or so many times."""
    left = [float("inf") if times is None else times]

    def change(module):
        decode = module.ModelRunner.decode

        def failing(self, sequences, **options):
            hit = any(
                sequence.noise.seed == seed and sequence.num_sampled >= position
                for sequence in sequences
            )
            if hit and left[0] > 0:
                left[0] -= 1
                if how == "die":
                    die()
                import torch

                raise {"bug": ZeroDivisionError, "memory": torch.OutOfMemoryError}[how]("injected")
            return decode(self, sequences, **options)

        module.ModelRunner.decode = failing

    sys.meta_path.insert(0, AfterImport("jukebox_core.engine.model_runner", change))


def send_twice():
    def change(module):
        put = module.Channel._put

        def twice(self, queue, message, **options):
            put(self, queue, message, **options)
            put(self, queue, message, **options)

        module.Channel._put = twice

    sys.meta_path.insert(0, AfterImport("kombu.transport.redis", change))


def die_before_sending():
    def change(module):
        module.Channel._put = lambda *_arguments, **_options: die()

    sys.meta_path.insert(0, AfterImport("kombu.transport.redis", change))


def jump(after_sec, by_sec):
    """The clock of the wall is put forward (or back) while the process runs."""
    real, began = time.time, time.monotonic()
    time.time = lambda: real() + (by_sec if time.monotonic() - began > after_sec else 0.0)


def no_room(module, num_bytes):
    """A child that runs this module finds the disk full after so many bytes."""
    if module in sys.orig_argv:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
        return
    # Children inherit named variables only, so the fault has to be handed on.
    import subprocess

    start = subprocess.Popen.__init__

    def start_with_fault(self, command, *arguments, env=None, **options):
        if module in command:
            env |= {"FAULT": os.environ["FAULT"]}
        start(self, command, *arguments, env=env, **options)

    subprocess.Popen.__init__ = start_with_fault


FAULTS = {
    each.__name__: each
    for each in (
        die_in_sync,
        stop_in_sync,
        fail_for_seed,
        send_twice,
        die_before_sending,
        jump,
        no_room,
    )
}

if FAULT:
    FAULTS[FAULT.pop("kind")](**FAULT)
