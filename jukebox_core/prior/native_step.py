"""The decode step of a stack in C, for small priors on a CPU; compiled when it is asked for.

At small sizes a step in torch is mostly dispatch, and its matrix products are slow for few rows.
`native_step.c` computes the whole stack in one call, straight from the weights and the cache of the
plain step, which stays the reference: same numbers up to rounding, fp32 only, one thread. Weights
may be int8; the arithmetic is fp32 all the same.
"""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from jukebox_core.config import AttentionKind
from jukebox_core.errors import ConfigError
from jukebox_core.prior.attention import SelfAttention
from jukebox_core.prior.int8_weights import Int8Projection
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.projection import LayerNorm, Projection

if TYPE_CHECKING:
    from jukebox_core.prior.transformer import Transformer, TransformerLayer

_SOURCE = Path(__file__).with_name("native_step.c")
_COMPILE = (
    *("cc", "-O3", "-march=native", "-mprefer-vector-width=512", "-std=gnu11"),
    # A product and a sum may be one operation, sums are never taken in another order.
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd"),
    *("-shared", "-fPIC"),
)
# The order of `enum kind` in the source.
_KINDS = (
    AttentionKind.ALL,
    AttentionKind.ROW,
    AttentionKind.COLUMN,
    AttentionKind.PREVIOUS_ROW,
    AttentionKind.LYRIC_ENCODER,
    AttentionKind.LYRIC_PREFIX,
)


_NUM_POINTERS = 1 + 2 * 2 + 4 * 3
"""Strips; weight and bias of two norms; weight, bias and scale of four projections."""


class _Layer(ctypes.Structure):
    """`struct layer` of the source."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("strip_positions", ctypes.c_int64),
        ("pointers", ctypes.c_void_p * _NUM_POINTERS),
    )


class _Stack(ctypes.Structure):
    """`struct stack` of the source."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("num_layers", "width", "attention_width")),
        *((name, ctypes.c_int64) for name in ("mlp_width", "num_heads", "block_tokens")),
        ("prefix_positions", ctypes.c_int64),
        ("layers", ctypes.c_void_p),
    )


@cache
def native_library() -> ctypes.CDLL:
    """The compiled source, made once for a process, for the processor at hand.

    Raises:
        ConfigError: there is no working C compiler (`cc`), or what it makes cannot be loaded.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "native_step.so"
            command = [*_COMPILE, str(_SOURCE), "-o", str(library), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True)
            loaded = _load(library)
    except FileNotFoundError:
        raise ConfigError("the native step needs a C compiler called cc") from None
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"the native step cannot be compiled: {error.stderr}") from error
    except OSError as error:
        raise ConfigError(f"the native step cannot be loaded: {error}") from error
    loaded.decode_stack.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64] + [ctypes.c_void_p] * 2
    loaded.decode_stack.restype = None
    return loaded


def reason_against_native_step() -> str | None:
    """Why this machine cannot have it, as a sentence; None if it can."""
    try:
        native_library()
    except ConfigError as error:
        return str(error)
    return None


def _load(library: Path) -> ctypes.CDLL:
    """Also where nothing in the folder for temporary files may be executed, as in containers."""
    try:
        return ctypes.CDLL(str(library))
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
    file = os.memfd_create("native_step")
    try:
        os.write(file, library.read_bytes())
        return ctypes.CDLL(f"/proc/self/fd/{file}")
    finally:
        os.close(file)


class NativeStack:
    """One stack with one cache, as addresses; both must stay where they are."""

    def __init__(self, transformer: "Transformer", kv_cache: PriorCache) -> None:
        stack = kv_cache.config.transformer
        self._decode = native_library().decode_stack
        self._width = stack.width
        # Numbers that one row needs between two layers, and those that all share.
        self._row_numbers = stack.width + 4 * stack.attention_width + stack.mlp_width
        self._shared_numbers = max(strips.shape[1] for strips in kv_cache.layers)
        self._transformer, self._strips = transformer, kv_cache.layers
        layers = transformer.stack()
        # All weights move together. Kept, so that no other tensor ever lies in its place.
        self._a_weight = _a_weight(transformer).detach()
        self._layers = (_Layer * len(layers))(
            *(_layer(layer, strips) for layer, strips in zip(layers, kv_cache.layers, strict=True))
        )
        self._stack = _Stack(
            len(layers),
            *(stack.width, stack.attention_width, stack.mlp_width),
            *(stack.num_heads, stack.block_tokens, kv_cache.config.lyric_prefix_positions),
            ctypes.addressof(self._layers),
        )
        self._address = ctypes.addressof(self._stack)
        self._scratch = torch.empty(0)

    def serves(self, transformer: "Transformer") -> bool:
        """These are its weights, and they lie where they lay."""
        return (
            self._transformer is transformer
            and _a_weight(transformer).data_ptr() == self._a_weight.data_ptr()
        )

    def decode(self, x: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """One position of every row: float32 [B, C] -> [B, C], in the same memory.

        positions  int64 [B]   in the whole sequence
        slots      int64 [B]
        """
        num_rows = len(x)
        num_numbers = num_rows * self._row_numbers + self._shared_numbers
        if len(self._scratch) < num_numbers:
            self._scratch = torch.empty(num_numbers)
        x, positions, slots = x.contiguous(), positions.contiguous(), slots.contiguous()
        self._decode(
            *(self._address, positions.data_ptr(), slots.data_ptr(), num_rows),
            *(x.data_ptr(), self._scratch.data_ptr()),
        )
        return x


def _layer(layer: "TransformerLayer", strips: Tensor) -> _Layer:
    attention = layer.attention
    query = attention.qkv if isinstance(attention, SelfAttention) else attention.query
    modules = (
        *(layer.attention_norm, query, attention.output),
        *(layer.mlp_norm, layer.mlp.input, layer.mlp.output),
    )
    tensors = [strips, *(tensor for module in modules for tensor in _tensors(module))]
    for tensor in tensors:
        _check(tensor)
    addresses = (None if tensor is None else tensor.data_ptr() for tensor in tensors)
    pointers = (ctypes.c_void_p * _NUM_POINTERS)(*addresses)
    return _Layer(_KINDS.index(layer.kind), strips.shape[1], pointers)


def _tensors(module: Projection | LayerNorm) -> Iterator[Tensor | None]:
    yield module.weight
    yield module.bias
    if isinstance(module, Int8Projection):
        yield module.scale
    elif isinstance(module, Projection):
        yield None


def _check(tensor: Tensor | None) -> None:
    if tensor is None:
        return
    if tensor.dtype not in (torch.float32, torch.int8) or tensor.device.type != "cpu":
        raise ConfigError(
            f"the native step is for float32 on a CPU, not {tensor.dtype} on {tensor.device}"
        )
    if not tensor.is_contiguous():
        raise ConfigError("the native step needs weights that are contiguous")


def _a_weight(transformer: "Transformer") -> Tensor:
    return transformer.stack()[0].mlp.input.weight
