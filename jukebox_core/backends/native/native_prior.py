"""One prior with its cache as addresses, and the calls that draw with it."""

import ctypes
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from jukebox_core.backends.native.library import native_library
from jukebox_core.backends.native.structures import (
    KINDS,
    NUM_LAYER_POINTERS,
    Group,
    Layer,
    NativeRow,
    Prior,
)
from jukebox_core.errors import ConfigError
from jukebox_core.prior.attention import SelfAttention
from jukebox_core.prior.int8_weights import Int8Projection
from jukebox_core.prior.kv_cache import PriorCache
from jukebox_core.prior.prior import JukeboxPrior
from jukebox_core.prior.projection import LayerNorm, Projection
from jukebox_core.prior.transformer import TransformerLayer


class NativePrior:
    """A prior with one cache, as addresses; both must stay where they are.

    Raises:
        ConfigError: there is no C compiler, or the prior is not float32 (or int8) on a CPU.
    """

    def __init__(self, prior: JukeboxPrior, kv_cache: PriorCache) -> None:
        self._library = native_library()
        self.is_large = prior.config.transformer.is_large
        self._prior = prior
        # Kept, so that no other tensor ever lies in their place.
        self._weights = [weight.detach() for weight in outer_weights(prior)]
        self._conditioning, self._strips = kv_cache.position_embedding, kv_cache.layers
        for tensor in (*self._weights, self._conditioning):
            _check(tensor)
        layers = prior.transformer.stack()
        self._layers = (Layer * len(layers))(
            *(_layer(layer, strips) for layer, strips in zip(layers, self._strips, strict=True))
        )
        self._structure = self._as_structure()
        self.address = ctypes.addressof(self._structure)

    def _as_structure(self) -> Prior:
        config, stack = self._prior.config, self._prior.config.transformer
        tokens, places, logits, _ = self._weights
        return Prior(
            *(len(stack.layers), stack.width, stack.attention_width, stack.mlp_width),
            *(stack.num_heads, stack.block_tokens, config.lyric_prefix_positions),
            max(strips.shape[1] for strips in self._strips),
            ctypes.addressof(self._layers),
            *(config.vocabulary_size, config.context_tokens, config.num_prefix_tokens),
            *(int(config.tied_embeddings), int(self.is_large)),
            *(tokens.data_ptr(), places.data_ptr(), logits.data_ptr()),
            self._conditioning.data_ptr(),
        )

    def serves(self, prior: JukeboxPrior) -> bool:
        """These are its weights, and they lie where they lay."""
        return self._prior is prior and all(
            now.data_ptr() == then.data_ptr()
            for now, then in zip(outer_weights(prior), self._weights, strict=True)
        )

    def logits(self, ids: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
        """float32 [B, V] of the music tokens at `positions`, behind `ids`; see `decode`.

        ids, positions, slots  int64 [B]

        Raises:
            IndexError: there is no such id, position or slot.
            MemoryError: there is not enough of it.
        """
        config, num_slots = self._prior.config, self._conditioning.shape[0]
        own_ids = _within("ids", ids, config.vocabulary_size)
        own_slots = _within("slots", slots, num_slots)
        own_positions = _within("positions", positions, config.context_tokens)
        rows = [
            NativeRow(slot=slot, position=position)
            for slot, position in zip(own_slots, own_positions, strict=True)
        ]
        logits = torch.empty(len(rows), config.vocabulary_size)
        is_done = self._library.read_logits(
            self.address,
            (NativeRow * len(rows))(*rows),
            (ctypes.c_int64 * len(rows))(*own_ids),
            len(rows),
            torch.get_num_threads(),
            logits.data_ptr(),
        )
        if not is_done:
            raise MemoryError("a token needs more memory than there is")
        return logits

    def prefill(self, x: Tensor, slots: Tensor) -> Tensor:
        """float32 [B, V] of the token behind x, float32 [B, T, C]: embedded from position 0 on.

        The cache of `slots`, int64 [B], is zeros but for lyrics from an encoder, and is filled.
        """
        logits = torch.empty(len(x), self._prior.config.vocabulary_size)
        for row, (beginning, slot) in enumerate(zip(x, slots.tolist(), strict=True)):
            beginning = beginning.contiguous()
            is_done = self._library.read_prefix(
                *(self.address, slot, beginning.data_ptr(), len(beginning)),
                *(torch.get_num_threads(), logits[row].data_ptr()),
            )
            if not is_done:
                raise MemoryError("the beginning of a window needs more memory than there is")
        return logits


@dataclass(frozen=True, slots=True)
class NativeGroup:
    """Rows of one prior that draw `num_steps` tokens each.

    ids       int64 [slots, context_tokens]    of the vocabulary; those before each row are there
    uniforms  float64 [slots, context_tokens]
    """

    prior: NativePrior
    rows: Sequence[NativeRow]
    num_steps: int
    ids: Tensor
    uniforms: Tensor

    def parts(self, num_parts: int) -> "list[NativeGroup]":
        """The same rows in at most `num_parts` groups of nearly equal size.

        In one if the prior is large: all cores compute each of its tokens together, and a weight
        that is read once serves all rows.
        """
        num_parts = 1 if self.prior.is_large else min(num_parts, len(self.rows))
        cuts = [len(self.rows) * part // num_parts for part in range(num_parts + 1)]
        return [
            NativeGroup(self.prior, self.rows[start:end], self.num_steps, self.ids, self.uniforms)
            for start, end in itertools.pairwise(cuts)
        ]


def sample_tokens(groups: Sequence[NativeGroup], *, num_threads: int = 1) -> list[float]:
    """Draw the tokens of all groups into their `ids`, on up to `num_threads` cores.

    A group of a small prior is drawn by one thread at a time, so what is to be drawn on several
    cores should be in as many `parts`; one of a large prior by all of them. A row is the same to
    the bit in any group. The rows of a prior are in one call at most once.

    Returns:
        seconds that each group took for itself.

    Raises:
        MemoryError: there is not enough of it; then nothing is drawn.
    """
    rows = [(NativeRow * len(group.rows))(*group.rows) for group in groups]
    structures = (Group * len(groups))(
        *(_group(group, own_rows) for group, own_rows in zip(groups, rows, strict=True))
    )
    address = ctypes.addressof(structures)
    if not native_library().sample_tokens(address, len(groups), num_threads):
        raise MemoryError("tokens need more memory than there is")
    return [structure.seconds for structure in structures]


def _group(group: NativeGroup, rows: "ctypes.Array[NativeRow]") -> Group:
    return Group(
        *(group.prior.address, ctypes.addressof(rows), len(rows), group.num_steps),
        *(group.ids.data_ptr(), group.uniforms.data_ptr(), 0.0),
    )


def _within(what: str, values: Tensor, end: int) -> list[int]:
    """As numbers: an address is made of them, where torch would find by itself what is wrong."""
    numbers: list[int] = values.tolist()
    if any(not 0 <= number < end for number in numbers):
        raise IndexError(f"{what} must lie in [0, {end}), found {numbers}")
    return numbers


def outer_weights(prior: JukeboxPrior) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the ids, of the places, of the logits, and one of the stack's, which move together."""
    tokens = prior.token_embedding.weight
    logits = tokens if prior.logits is None else prior.logits.weight
    return tokens, prior.position_embedding, logits, prior.transformer.stack()[0].mlp.input.weight


def _layer(layer: TransformerLayer, strips: Tensor) -> Layer:
    attention = layer.attention
    query = attention.qkv if isinstance(attention, SelfAttention) else attention.query
    modules = (
        *(layer.attention_norm, query, attention.output),
        *(layer.mlp_norm, layer.mlp.input, layer.mlp.output),
    )
    weights = [tensor for module in modules for tensor in _tensors(module)]
    has_halves = strips.dtype is torch.float16
    for tensor in weights if has_halves else [strips, *weights]:
        _check(tensor)
    tensors = [strips, *weights]
    addresses = (None if tensor is None else tensor.data_ptr() for tensor in tensors)
    pointers = (ctypes.c_void_p * NUM_LAYER_POINTERS)(*addresses)
    return Layer(KINDS.index(layer.kind), strips.shape[1], has_halves, pointers)


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
            f"the native backend is for float32 on a CPU, not {tensor.dtype} on {tensor.device}"
        )
    if not tensor.is_contiguous():
        raise ConfigError("the native backend needs weights that are contiguous")
