"""Processes that are started together train together, with or without GPUs."""

import subprocess
import sys

SCRIPT = """
import torch
from accelerate import Accelerator
from jukebox_core.training.processes import process_state, trains_on_cpu

state = process_state()
accelerator = Accelerator(cpu=trains_on_cpu())
mine = torch.tensor([float(state.process_index + 1)], device=accelerator.device)
total = accelerator.reduce(mine, reduction="sum").item()
if state.is_main_process:
    print(state.num_processes, accelerator.num_processes, total)
"""


def test_two_processes_on_a_cpu_add_up_what_each_has(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    command = [sys.executable, *launcher, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.split() == ["2", "2", "3.0"], done.stderr
