"""The C source is compiled for other processors, and all of them agree on what is exact."""

import ctypes
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import torch

from jukebox_core.backends.native.library import COMPILE, SOURCES
from jukebox_core.prior.int8_weights import quantize

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

X86 = {
    "sse2": ("-march=x86-64",),
    "avx2": ("-march=x86-64-v3",),
    "avx512": ("-march=x86-64-v4",),
    "avx512 vnni": ("-march=x86-64-v4", "-mavx512vnni"),
}
FLAGS = {
    "sse2": set(),
    "avx2": {"avx2", "fma", "bmi2", "f16c"},
    "avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd"},
    "avx512 vnni": {"avx512f", "avx512bw", "avx512vl", "avx512dq", "avx512cd", "avx512_vnni"},
}
"""What /proc/cpuinfo must name."""
ARM_COMPILER = "aarch64-linux-gnu-gcc"


class Product(ctypes.Structure):
    """`struct product`."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "scale")),
        *((name, ctypes.c_void_p) for name in ("x", "levels", "level_scales")),
        *((name, ctypes.c_int64) for name in ("rows", "depth", "columns")),
        *((name, ctypes.c_void_p) for name in ("residual", "out", "sums")),
    )


def command_for(march: tuple[str, ...]) -> list[str]:
    """Optimized little: what is asked here are the instructions, and it is compiled often."""
    return [each for each in COMPILE if not each.startswith(("-march", "-O"))] + ["-O1", *march]


@cache
def variants(folder: Path) -> dict[str, ctypes.CDLL]:
    """Of those that run on this processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    able = set(next((line for line in lines if line.startswith("flags")), "").split())
    products = [source for source in SOURCES if source.endswith("/products.c")]
    found = {}
    for name, march in X86.items() if able else ():
        if able >= FLAGS[name]:
            library = folder / f"{name}.so"
            subprocess.run([*command_for(march), *products, "-o", str(library), "-lm"], check=True)
            found[name] = ctypes.CDLL(str(library))
            found[name].quantize.restype = ctypes.c_float
    return found


def int8_product(library, x, weight, scale, bias, residual, cuts):
    """float32 [rows, columns], and the levels, of columns that are cut for several threads."""
    (rows, depth), columns = x.shape, weight.shape[1]
    levels = torch.zeros(rows, depth + depth % 2, dtype=torch.int16)
    address = ctypes.c_void_p
    scales = torch.tensor(
        [
            library.quantize(
                address(row.data_ptr()), ctypes.c_int64(depth), address(level.data_ptr())
            )
            for row, level in zip(x, levels, strict=True)
        ]
    )
    out = torch.empty(rows, columns)
    sums = torch.empty(48, columns)
    product = Product(
        *(weight.data_ptr(), bias.data_ptr(), scale.data_ptr()),
        *(x.data_ptr(), levels.data_ptr(), scales.data_ptr(), rows, depth, columns),
        *(residual.data_ptr(), out.data_ptr(), sums.data_ptr()),
    )
    for begin, end in zip((0, *cuts), (*cuts, columns), strict=True):
        library.project(ctypes.byref(product), ctypes.c_int64(begin), ctypes.c_int64(end))
    return out, levels[:, :depth], scales


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    found = variants(tmp_path_factory.mktemp("processors"))
    if len(found) < 2:
        pytest.skip(f"this processor runs {sorted(found)} alone")
    return found


@pytest.mark.parametrize(("depth", "columns"), [(75, 101), (128, 64), (1920, 80)])
@pytest.mark.parametrize("rows", [1, 3, 7, 50])
def test_instructions_agree_on_int8_products_to_the_bit(built, rows, depth, columns):
    generator = torch.Generator().manual_seed(rows + depth)
    x = torch.randn(rows, depth, generator=generator)
    weight, scale = quantize(torch.randn(depth, columns, generator=generator))
    bias, residual = torch.randn(2, max(columns, rows * columns), generator=generator)
    found = [
        int8_product(library, x, weight, scale, bias, residual, cuts)
        for library, cuts in zip(built.values(), [(), (16,), (32, 48), (16, 48)], strict=False)
    ]
    _, levels, scales = found[0]
    # Which products and sums are one operation is the compiler's choice, hence the last bits.
    sums = (levels.long() @ weight.long()).double()
    assert sums.abs().max() < 2**31
    wanted = sums * scales[:, None].double() * scale.double() + bias[:columns].double()
    wanted += residual[: rows * columns].view(rows, columns).double()
    for out, other_levels, other_scales in found:
        assert torch.equal(other_levels, levels)
        assert torch.equal(other_scales, scales)
        torch.testing.assert_close(out.double(), wanted, atol=2e-5, rtol=1e-6)


def test_the_most_extreme_rows_and_weights_do_not_overflow(built):
    depth, columns = 4800, 64
    x = torch.full((2, depth), 7.0)
    weight = torch.full((depth, columns), 127, dtype=torch.int8)
    weight[:, 1::2] = -127
    ones, zeros = torch.ones(columns), torch.zeros(2 * columns)
    for library in built.values():
        out, levels, _ = int8_product(library, x, weight, ones, zeros, zeros, ())
        assert levels.min() == levels.max() == 2**31 // (127 * depth)
        wanted = 7.0 * depth * weight[:1].float().expand(2, -1)
        torch.testing.assert_close(out, wanted, atol=0, rtol=1e-6)


def test_rows_of_nothing_stay_nothing(built):
    bias = torch.randn(2 * 64, generator=torch.Generator().manual_seed(1))
    weight = torch.full((32, 64), 5, dtype=torch.int8)
    for library in built.values():
        zeros = torch.zeros(2 * 64)
        out, *_ = int8_product(library, torch.zeros(2, 32), weight, zeros + 1, bias, zeros, ())
        assert torch.equal(out, bias[:64].expand(2, -1))


def test_it_is_compiled_for_arm(tmp_path):
    if shutil.which(ARM_COMPILER) is None:
        pytest.skip(f"needs a cross compiler called {ARM_COMPILER}")
    flags = [
        each for each in command_for(("-march=armv8-a", "-O0"))[1:] if "vector-width" not in each
    ]
    built = tmp_path / "arm.so"
    subprocess.run([ARM_COMPILER, *flags, *SOURCES, "-o", str(built), "-lm"], check=True)
    assert built.stat().st_size


@pytest.mark.parametrize("name", ["sse2", "avx2"])
def test_it_is_compiled_for_every_x86_without_a_warning(name, tmp_path):
    if "x86" not in subprocess.run(["cc", "-dumpmachine"], capture_output=True, text=True).stdout:
        pytest.skip("the compiler is for another processor")
    command = [*command_for(X86[name]), "-O0", "-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
    subprocess.run([*command, *SOURCES, "-o", str(tmp_path / "x86.so"), "-lm"], check=True)
