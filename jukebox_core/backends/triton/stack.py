"""The decode step of a stack in five launches per layer, for GPUs: starts the kernels in Triton.

A step in torch is some thirty launches per layer, and for one song each of them costs as much as
reading its weights. Here norms, biases, the cache and the residual stream ride along with the
products (`kernels/`). Weights and cache are those of the plain step, which stays the reference:
same numbers up to rounding. The residual stream is float32 whatever the weights are, which is
nearer to the exact numbers than the plain step in half precision; norms read it rounded.

A row is the same in any company: see `kernels/products.py`. Nothing here waits for the device, and
memory is taken once for each number of rows, so that a CUDA graph can hold a step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from jukebox_core.backends.triton.kernels.attention import attend, join_parts
from jukebox_core.backends.triton.kernels.products import (
    project_hidden,
    project_onto_residual,
    project_query_key_value,
)
from jukebox_core.backends.triton.kernels.statistics import row_statistics
from jukebox_core.backends.triton.kernels.tiles import (
    STATISTICS_COLUMNS,
    STATISTICS_GROUP,
    AttentionTile,
    ProductTile,
    attention_tile,
    ceil_div,
    padded_rows,
    product_tile,
)
from jukebox_core.config import AttentionKind, TransformerConfig
from jukebox_core.errors import ConfigError
from jukebox_core.prior.attention import SelfAttention
from jukebox_core.prior.int8_weights import Int8Projection
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.projection import LayerNorm, Projection
from jukebox_core.prior.transformer import Transformer, TransformerLayer

# In the order of the numbers in `kernels/places.py`.
KERNEL_KINDS = (
    AttentionKind.ALL,
    AttentionKind.ROW,
    AttentionKind.COLUMN,
    AttentionKind.PREVIOUS_ROW,
    AttentionKind.LYRIC_ENCODER,
    AttentionKind.LYRIC_PREFIX,
)
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


class Launch(NamedTuple):
    """A kernel with everything it is started with: how many programs, on what, how compiled."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    constants: dict[str, Any]
    num_warps: int
    num_stages: int


def start(launch: Launch) -> None:
    """Put it behind whatever the device has to do."""
    launch.kernel[launch.grid](
        *launch.arguments,
        **launch.constants,
        num_warps=launch.num_warps,
        num_stages=launch.num_stages,
    )


class _Product(NamedTuple):
    """Weight [in, out], its scale float32 [out] (of int8 alone), and bias [out]."""

    weight: Tensor
    scale: Tensor
    bias: Tensor

    @property
    def is_int8(self) -> bool:
        return self.weight.dtype is torch.int8


class _Layer(NamedTuple):
    kind: AttentionKind
    strips: Tensor
    attention_norm: LayerNorm
    query: _Product
    attention_output: _Product
    mlp_norm: LayerNorm
    mlp_input: _Product
    mlp_output: _Product


class _Scratch(NamedTuple):
    """What lies between two launches of one step."""

    rounded: Tensor
    statistics: Tensor
    query: Tensor
    attended: Tensor
    hidden: Tensor
    part_sums: Tensor
    part_values: Tensor


class TritonStack:
    """One stack with one cache; both must stay where they are.

    Args:
        transformer: its weights are read as they lie.
        kv_cache: of the compute dtype.
        start: what to do with each launch.

    Raises:
        ConfigError: the weights or the cache are in a precision that it is not for.
    """

    def __init__(
        self,
        transformer: Transformer,
        kv_cache: PriorCache,
        *,
        start: Callable[[Launch], None] = start,
    ) -> None:
        self._stack: TransformerConfig = kv_cache.config.transformer
        self._transformer, self._start = transformer, start
        layers = transformer.stack()
        # All weights move together. Kept, so that no other tensor ever lies in its place.
        self._a_weight = _a_weight(transformer).detach()
        self._dtype = transformer.compute_dtype
        self._epsilon = layers[0].attention_norm.eps
        self._layers = [
            _layer(layer, strips) for layer, strips in zip(layers, kv_cache.layers, strict=True)
        ]
        for layer in self._layers:
            _check(layer, self._dtype)
        self._max_parts = max(self._attention_tile(layer).num_parts for layer in self._layers)
        self._scratch: dict[int, _Scratch] = {}

    def serves(self, transformer: Transformer) -> bool:
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
        x, positions, slots = x.contiguous(), positions.contiguous(), slots.contiguous()
        scratch = self._scratch_for(len(x))
        # Triton starts kernels on the current device, wherever the tensors are.
        with torch.cuda.device(x.device.index if x.is_cuda else -1):
            self._take_statistics(x, scratch)
            for layer in self._layers:
                self._project_query_key_value(layer, x, positions, slots, scratch)
                self._attend(layer, positions, slots, scratch)
                self._project_onto_residual(layer.attention_output, scratch.attended, x, scratch)
                self._project_hidden(layer, x, scratch)
                self._project_onto_residual(layer.mlp_output, scratch.hidden, x, scratch)
        return x

    def _take_statistics(self, x: Tensor, scratch: _Scratch) -> None:
        num_rows, width = x.shape
        self._start(
            Launch(
                kernel=row_statistics,
                grid=(num_rows, ceil_div(width, STATISTICS_COLUMNS)),
                arguments=(x, scratch.rounded, scratch.statistics, num_rows),
                constants={"WIDTH": width, "ROWS": 1, "COLUMNS": STATISTICS_COLUMNS},
                num_warps=1,
                num_stages=1,
            )
        )

    def _project_query_key_value(
        self, layer: _Layer, x: Tensor, positions: Tensor, slots: Tensor, scratch: _Scratch
    ) -> None:
        norm, product = layer.attention_norm, layer.query
        self._start_product(
            project_query_key_value,
            product,
            _tile(product, scratch.rounded[: len(x)]),
            len(x),
            (
                *(scratch.rounded, scratch.statistics, norm.weight, norm.bias, *product),
                *(positions, slots, scratch.query, layer.strips, len(x), self._epsilon),
            ),
            KIND=KERNEL_KINDS.index(layer.kind),
            BLOCK=self._stack.block_tokens,
            STRIP_POSITIONS=layer.strips.shape[1],
            WIDTH=self._stack.width,
            ATTENTION_WIDTH=self._stack.attention_width,
        )

    def _attend(self, layer: _Layer, positions: Tensor, slots: Tensor, scratch: _Scratch) -> None:
        tile = self._attention_tile(layer)
        grid = (len(positions), self._stack.num_heads)
        heads = {
            "NUM_HEADS": self._stack.num_heads,
            "HEAD_WIDTH": self._stack.head_width,
            "PADDED_WIDTH": tile.padded_width,
        }
        strip = {
            "KIND": KERNEL_KINDS.index(layer.kind),
            "BLOCK": self._stack.block_tokens,
            "STRIP_POSITIONS": layer.strips.shape[1],
            "PART_POSITIONS": tile.part_positions,
            "KEYS": tile.keys,
            "NUM_STAGES": tile.num_stages,
        }
        out, parts = scratch.attended, (scratch.part_sums, scratch.part_values)
        arguments = (scratch.query, layer.strips, positions, slots, out, *parts)
        self._start(
            Launch(
                kernel=attend,
                grid=(*grid, tile.num_parts),
                arguments=arguments,
                constants=heads | strip,
                num_warps=tile.num_warps,
                num_stages=tile.num_stages,
            )
        )
        if tile.num_parts > 1:
            constants = heads | {"NUM_PARTS": tile.num_parts}
            self._start(Launch(join_parts, grid, (*parts, out), constants, 4, 4))

    def _project_hidden(self, layer: _Layer, x: Tensor, scratch: _Scratch) -> None:
        norm, product = layer.mlp_norm, layer.mlp_input
        self._start_product(
            project_hidden,
            product,
            _tile(product, scratch.rounded[: len(x)]),
            len(x),
            (
                *(scratch.rounded, scratch.statistics, norm.weight, norm.bias, *product),
                *(scratch.hidden, len(x), self._epsilon),
            ),
            WIDTH=self._stack.width,
            COLUMNS=self._stack.mlp_width,
        )

    def _project_onto_residual(
        self, product: _Product, inputs: Tensor, x: Tensor, scratch: _Scratch
    ) -> None:
        self._start_product(
            project_onto_residual,
            product,
            _tile(product, inputs[: len(x)]),
            len(x),
            (inputs, *product, x, scratch.rounded, scratch.statistics, len(x)),
            DEPTH=product.weight.shape[0],
            WIDTH=self._stack.width,
        )

    def _start_product(
        self,
        kernel: object,
        product: _Product,
        tile: ProductTile,
        num_rows: int,
        arguments: tuple[object, ...],
        **constants: int,
    ) -> None:
        self._start(
            Launch(
                kernel=kernel,
                grid=tile.grid(num_rows, product.weight.shape[1]),
                arguments=arguments,
                constants={
                    **constants,
                    "IS_INT8": product.is_int8,
                    "ROWS": tile.rows,
                    "OWN_COLUMNS": tile.columns,
                    "DEPTHS": tile.depths,
                },
                num_warps=tile.num_warps,
                num_stages=tile.num_stages,
            )
        )

    def _attention_tile(self, layer: _Layer) -> AttentionTile:
        return attention_tile(
            layer.strips.shape[1], self._stack.head_width, item_bytes=self._dtype.itemsize
        )

    def _scratch_for(self, num_rows: int) -> _Scratch:
        """The same memory for every step of so many rows: a captured step goes on using it."""
        rows = padded_rows(num_rows)
        scratch = self._scratch.get(rows)
        if scratch is None:
            stack, device = self._stack, self._a_weight.device
            groups = ceil_div(stack.width, STATISTICS_GROUP)
            parts = (rows, stack.num_heads, self._max_parts if self._max_parts > 1 else 0)
            scratch = self._scratch[rows] = _Scratch(
                rounded=torch.empty(rows, stack.width, dtype=self._dtype, device=device),
                statistics=torch.empty(rows, 2, groups, device=device),
                query=torch.empty(rows, stack.attention_width, dtype=self._dtype, device=device),
                attended=torch.empty(rows, stack.attention_width, dtype=self._dtype, device=device),
                hidden=torch.empty(rows, stack.mlp_width, dtype=self._dtype, device=device),
                part_sums=torch.empty(*parts, 2, device=device),
                part_values=torch.empty(*parts, stack.head_width, device=device),
            )
        return scratch


def _tile(product: _Product, inputs: Tensor) -> ProductTile:
    num_in, num_out = product.weight.shape
    return product_tile(
        num_in,
        num_out,
        num_rows=len(inputs),
        weight_bytes=product.weight.itemsize,
        input_bytes=inputs.itemsize,
        is_float32=product.bias.dtype is torch.float32,
    )


def _layer(layer: TransformerLayer, strips: Tensor) -> _Layer:
    attention = layer.attention
    query = attention.qkv if isinstance(attention, SelfAttention) else attention.query
    return _Layer(
        kind=layer.kind,
        strips=strips,
        attention_norm=layer.attention_norm,
        query=_product(query),
        attention_output=_product(attention.output),
        mlp_norm=layer.mlp_norm,
        mlp_input=_product(layer.mlp.input),
        mlp_output=_product(layer.mlp.output),
    )


def _product(projection: Projection) -> _Product:
    # Where there is no scale the kernel asks for none, but something must stand in its place.
    bias = projection.bias.detach()
    scale = projection.scale.detach() if isinstance(projection, Int8Projection) else bias
    return _Product(projection.weight.detach(), scale, bias)


def _check(layer: _Layer, dtype: torch.dtype) -> None:
    products = (layer.query, layer.attention_output, layer.mlp_input, layer.mlp_output)
    tensors = (layer.strips, *(tensor for product in products for tensor in product))
    for tensor in tensors:
        if not tensor.is_contiguous():
            raise ConfigError("the fused step needs weights that are contiguous")
    if dtype not in _DTYPES or layer.strips.dtype is not dtype:
        raise ConfigError(
            f"the fused step computes {dtype} with a cache in {layer.strips.dtype} not at all"
        )


def _a_weight(transformer: Transformer) -> Tensor:
    return transformer.stack()[0].mlp.input.weight
