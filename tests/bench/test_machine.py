"""Facts and limits of a machine; the cost of a kernel boundary is a slope."""

import os
from pathlib import Path

import pytest
import torch

from bench import gpu, linux, machine
from bench.serve import __main__ as serve
from tests.backends.tape import TapeCapturer

CPU = torch.device("cpu")


def test_the_limits_of_this_machine_are_told():
    found = machine.machine_limits(CPU, num_bytes=2**20) | machine.kernel_boundary(CPU)
    assert found["machine"] == linux.cpu_name()
    assert (found["device"], found["cores"]) == ("cpu", len(os.sched_getaffinity(0)))
    assert found["memory_bytes_per_sec"] > 0 < found["flop_per_sec"]
    assert found["replayed_kernel_us"] is None  # a CPU has no graphs


def test_launched_and_replayed_kernels_are_measured_where_there_are_graphs():
    capturer = TapeCapturer()
    found = machine.boundary_cost(CPU, capturer, (5, 50))
    assert None not in found.values()
    assert capturer.num_captures == 2
    assert capturer.num_operations == 50


def test_cores_are_counted_by_the_kernel():
    before = linux.usage_of(os.getpid())
    assert before.resident_bytes > 1e6
    used = linux.cores_used({"a": linux.Usage(1.0, 5)}, {"a": linux.Usage(2.5, 5)}, 3.0)
    assert used == {"a": 0.5}


@pytest.mark.parametrize("measurement", [gpu, serve])
def test_a_part_that_there_is_not_is_refused_with_those_there_are(measurement, capsys):
    with pytest.raises(SystemExit):
        measurement.main(["everything"])
    assert "'everything' is none of" in capsys.readouterr().err


def test_busy_processes_are_there_for_a_measurement_and_no_longer():
    before = len(children())
    with machine.busy_processes(2, nice=10):
        assert len(children()) == before + 2
    assert len(children()) == before


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
