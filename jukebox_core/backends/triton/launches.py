"""What a step of the Triton backend would start, found out and compiled without a GPU."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from jukebox_core.backends.triton.stack import Launch, TritonStack
from jukebox_core.child_processes import child_environment
from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.errors import ConfigError
from jukebox_core.prior.int8_weights import use_int8_weights
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.projection import Projection
from jukebox_core.prior.transformer import Transformer

_POINTERS = {
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int8: "*i8",
    torch.int64: "*i64",
}


class Compiled(NamedTuple):
    """A kernel for one kind of GPU, as its assembler reports it; of one thread, or one program."""

    name: str
    num_registers: int
    spill_bytes: int
    shared_bytes: int
    ptx: str
    ttgir: str


def step_launches(
    config: JukeboxPriorConfig,
    *,
    num_rows: int,
    dtype: torch.dtype = torch.float16,
    is_int8: bool = False,
) -> list[Launch]:
    """All launches of one step, in their order; on tensors without memory.

    Args:
        config: the prior; its size does not matter.
        num_rows: of the step.
        dtype: the compute dtype.
        is_int8: the weights are int8.
    """
    stack = config.transformer
    with torch.device("meta"):
        transformer = Transformer(stack, prefix_positions=config.lyric_prefix_positions)
        for module in transformer.modules():
            if isinstance(module, Projection):
                module.set_compute_dtype(dtype)
        if is_int8:
            use_int8_weights(transformer)
        cache = PriorCache(config, num_rows, device=torch.device("meta"), dtype=dtype)
        launches: list[Launch] = []
        stack_of_kernels = TritonStack(transformer, cache, start=launches.append)
        places = torch.zeros(num_rows, dtype=torch.int64)
        stack_of_kernels.decode(torch.zeros(num_rows, stack.width), places, places)
    return launches


def distinct(launches: Iterable[Launch]) -> list[Launch]:
    """One of each that is compiled by itself."""
    return list({launch_key(launch): launch for launch in launches}.values())


def compile_launch(launch: Launch, *, capability: int) -> Compiled:
    """Compile a kernel for `capability` (80, 90); takes a second or a few.

    Raises:
        ConfigError: the assembler refuses it.
    """
    kernel = launch.kernel
    names = kernel.arg_names
    values = dict(zip(names, launch.arguments, strict=False))
    types = {name: _type_of(values[name]) if name in values else "constexpr" for name in names}
    aligned = [n for n, name in enumerate(names) if types[name].startswith("*")]
    source = ASTSource(
        kernel,
        types,
        constexprs={(names.index(name),): value for name, value in launch.constants.items()},
        # As the allocator of torch gives them out.
        attrs={(n,): [["tt.divisibility", 16]] for n in aligned},
    )
    options = {"num_warps": launch.num_warps, "num_stages": launch.num_stages}
    target = GPUTarget("cuda", capability, 32)
    compiled = triton.compile(source, target=target, options=options)
    ptx: str = compiled.asm["ptx"]
    report = _assemble(ptx)
    return Compiled(
        name=kernel.__name__,
        num_registers=_number(r"Used (\d+) registers", report),
        spill_bytes=_number(r"(\d+) bytes spill stores", report),
        shared_bytes=compiled.metadata.shared,
        ptx=ptx,
        ttgir=compiled.asm["ttgir"],
    )


def launch_key(launch: Launch) -> tuple[Any, ...]:
    """The same for two launches that are compiled as one."""
    types = tuple(_type_of(argument) for argument in launch.arguments)
    constants = tuple(sorted(launch.constants.items()))
    return (launch.kernel.__name__, types, constants, launch.num_warps, launch.num_stages)


def _type_of(argument: object) -> str:
    if isinstance(argument, Tensor):
        return _POINTERS[argument.dtype]
    return "i32" if isinstance(argument, int) else "fp32"


def _assemble(ptx: str) -> str:
    """What the assembler that comes with Triton says."""
    assembler = Path(triton.__file__).parent / "backends/nvidia/bin/ptxas"
    target = re.search(r"^\.target (\w+)", ptx, re.MULTILINE)
    with TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        name = target[1] if target is not None else ""
        files = [str(source), "-o", str(source.with_suffix(".o"))]
        command = [str(assembler), "-v", f"--gpu-name={name}", *files]
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env=child_environment(),
        )
    if run.returncode:
        raise ConfigError(f"a kernel cannot be assembled: {run.stderr}")
    return run.stderr


def _number(pattern: str, report: str) -> int:
    found = re.search(pattern, report)
    if found is None:
        raise ConfigError(f"the assembler does not say {pattern!r}: {report}")
    return int(found[1])
