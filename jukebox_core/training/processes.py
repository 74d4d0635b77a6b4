"""The processes that train together: one for each GPU, or several on a CPU."""

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def trains_on_cpu() -> bool:
    """Whether there is no accelerator, or `accelerate launch --cpu` asks for the CPU.

    accelerate must be told so: otherwise it takes processes on a CPU for strangers, and each trains
    a model of its own.
    """
    return parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()


def process_state() -> PartialState:
    """Rank, number of processes and device; connects the processes when first called."""
    return PartialState(cpu=trains_on_cpu())
