"""One autoregressive model of the codes of one level."""

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jukebox_core.casts import Conversion, device_only, requested_dtype
from jukebox_core.config import JukeboxPriorConfig
from jukebox_core.prior.conditioner import UpperConditioner
from jukebox_core.prior.input_checks import (
    check_beginnings,
    check_conditioning,
    check_windows,
)
from jukebox_core.prior.int8_weights import Int8Projection, use_int8_weights
from jukebox_core.prior.kv_cache import PriorCache, strip_dtype
from jukebox_core.prior.label_embedding import LabelEmbedding
from jukebox_core.prior.losses import mean_bits, total_loss
from jukebox_core.prior.lyric_encoder import LyricEncoder
from jukebox_core.prior.outputs import Conditioning, PriorOutput
from jukebox_core.prior.projection import INIT_STD, Projection
from jukebox_core.prior.transformer import Transformer


class JukeboxPrior(nn.Module):
    """p(each code of a window | those before it, labels, lyrics, codes of the level above).

    Whole windows (`forward`), or token by token (`prefill`, `decode`) with a cache of the caller.
    Weights live here and nothing else.

    *Ids* count in the vocabulary of the sequence, *codes* in the codebook; they differ only where
    lyrics and music share a sequence (`config.merged_vocabulary`).

    The original is `prior/prior.py` and `prior/autoregressive.py`.
    """

    def __init__(self, config: JukeboxPriorConfig) -> None:
        super().__init__()
        self.config = config
        stack = config.transformer
        self.token_embedding = nn.Embedding(config.vocabulary_size, stack.width)
        self.position_embedding = nn.Parameter(torch.empty(stack.context_tokens, stack.width))
        self.transformer = Transformer(stack, prefix_positions=config.lyric_prefix_positions)
        nn.init.normal_(self.token_embedding.weight, std=INIT_STD * stack.init_scale)
        nn.init.normal_(self.position_embedding, std=0.01 * stack.init_scale)
        self.logits: nn.Linear | None = None
        if not config.tied_embeddings:
            self.logits = nn.Linear(stack.width, config.vocabulary_size, bias=False)
            nn.init.normal_(self.logits.weight, std=INIT_STD * stack.init_scale)
        self._add_conditioners(config)

    def _add_conditioners(self, config: JukeboxPriorConfig) -> None:
        width = config.transformer.width
        self.labels: LabelEmbedding | None = None
        self.conditioner: UpperConditioner | None = None
        self.lyric_encoder: LyricEncoder | None = None
        if config.labels is not None:
            self.labels = LabelEmbedding(config, config.labels)
        else:
            self.start_token = nn.Parameter(torch.zeros(1, width))
        if config.conditioner is not None:
            self.conditioner = UpperConditioner(config, config.conditioner)
        if config.lyrics is not None and config.lyrics.encoder is not None:
            self.lyric_encoder = LyricEncoder(config.lyrics, config.lyrics.encoder, out_width=width)

    # ---- precision and ids ----

    @property
    def compute_dtype(self) -> torch.dtype:
        """Dtype of the projections, the residual stream and the cache."""
        return self.transformer.compute_dtype

    def set_compute_dtype(self, dtype: torch.dtype) -> Self:
        """Run the transformer stacks in `dtype`; everything around them stays float32.

        This is the original's fp16 policy: projections, residual stream and cache are half;
        embeddings, norms, softmax, conditioner and logits are not. Also works on the meta device.
        """
        for projection in self._projections():
            projection.set_compute_dtype(dtype)
        return self

    def set_weight_dtype(self, dtype: torch.dtype) -> Self:
        """Keep the weights of the stacks' projections in `dtype`, and all else in float32.

        So the original keeps a model of `fp16_params` (`config.half_weights`): biases lose no digit
        where it is computed in float32. For files: such a prior is not to be computed with.
        """
        for projection in self._projections():
            projection.set_weight_dtype(dtype)
        return self

    def _apply(self, fn: Conversion, recurse: bool = True) -> Self:
        """Half precision is for the stacks alone, also when `.half()` or `.to(dtype)` asks."""
        dtype = requested_dtype(fn)
        is_half = dtype in (torch.float16, torch.bfloat16)
        super()._apply(device_only(fn) if is_half else fn, recurse)  # type: ignore[no-untyped-call]
        return self.set_compute_dtype(dtype) if is_half and dtype is not None else self

    def use_int8_weights(self) -> Self:
        """Keep the weights of stacks and conditioner as int8, for good (see `int8_weights.py`).

        The compute dtype stays what it is. Such a prior is for sampling: it cannot be trained.
        Also works on the meta device.
        """
        self.use_int8_stacks()
        if self.conditioner is not None:
            use_int8_weights(self.conditioner)
        return self

    def use_int8_stacks(self) -> Self:
        """Keep the weights of the stacks alone as int8, as files of format version 2 do."""
        for stack in self._stacks():
            use_int8_weights(stack)
        return self

    @property
    def has_int8_weights(self) -> bool:
        """Whether `use_int8_weights` was called."""
        return isinstance(self.transformer.stack()[0].mlp.input, Int8Projection)

    def _projections(self) -> Iterator[Projection]:
        for stack in self._stacks():
            yield from (module for module in stack.modules() if isinstance(module, Projection))

    def _stacks(self) -> list[Transformer]:
        if self.lyric_encoder is None:
            return [self.transformer]
        return [self.transformer, self.lyric_encoder.transformer]

    def codes_to_ids(self, codes: Tensor) -> Tensor:
        """Codebook indices as ids of the sequence."""
        return codes + self.config.music_offset

    def to_codes(self, ids: Tensor) -> Tensor:
        """Ids of the sequence as codebook indices; a character drawn by mistake becomes code 0."""
        return (ids - self.config.music_offset).clamp(min=0)

    # ---- conditioning ----

    def condition(self, labels: Tensor, upper_codes: Tensor | None = None) -> Conditioning:
        """Embed what is known about each window.

        labels       int64 [B, W]: total, offset and context in samples, artist id, genre ids padded
                     with -1 to max_genres, lyric ids
        upper_codes  int64 [B, upper_context_tokens]: the codes above this very window

        Raises:
            ValueError: a shape does not fit this prior.
        """
        check_conditioning(self.config, labels, upper_codes)
        num_lyrics = self.config.lyrics.num_tokens if self.config.lyrics is not None else 0
        num_fixed = labels.shape[1] - num_lyrics
        fixed, lyric_ids = labels[:, :num_fixed], labels[:, num_fixed:]
        return Conditioning(
            start_embedding=self._start(fixed),
            position_embedding=self._positions(fixed, upper_codes),
            lyric_ids=lyric_ids if num_lyrics else None,
            lyric_states=self.lyric_encoder(lyric_ids) if self.lyric_encoder is not None else None,
        )

    def _start(self, labels: Tensor) -> Tensor:
        if self.labels is not None:
            return self.labels.start(labels)
        return self.start_token.expand(labels.shape[0], -1)

    def _positions(self, labels: Tensor, upper_codes: Tensor | None) -> Tensor:
        if self.conditioner is not None:
            embedded: Tensor = self.conditioner(upper_codes)
            return embedded
        if self.labels is not None:
            return self.labels.time(labels)
        shape = (labels.shape[0], self.config.context_tokens, self.config.transformer.width)
        return self.position_embedding.new_zeros(shape)

    # ---- whole windows ----

    def forward(
        self,
        codes: Tensor,
        labels: Tensor,
        upper_codes: Tensor | None = None,
        record_attention: int | None = None,
        counted: Tensor | None = None,
        read_codes: Tensor | None = None,
    ) -> PriorOutput:
        """Teacher-forced pass over whole windows.

        codes             int64 [B, context_tokens]
        labels            int64 [B, W], see `condition`
        upper_codes       int64 [B, upper_context_tokens] | None
        record_attention  index of a layer whose softmax weights are wanted
        counted           bool [B, context_tokens]: codes that the losses count; None counts all
        read_codes        int64 [B, context_tokens]: read in place of `codes`, which are predicted

        Raises:
            ValueError: a shape does not fit this prior.
        """
        check_windows(self.config, codes)
        conditioning = self.condition(labels, upper_codes)
        ids = self._sequence_ids(codes, conditioning)
        added = self._sequence_conditioning(conditioning, ids.shape[1])
        read = ids if read_codes is None else self._sequence_ids(read_codes, conditioning)
        x = self._embed(read[:, :-1], conditioning, added)
        output = self.transformer(x, conditioning.lyric_states, record_attention)
        logits = self.logits_of(output.states, added)
        music_loss, lyric_loss = self._losses(logits, ids, conditioning, counted)
        return PriorOutput(
            logits=logits,
            loss=total_loss(self.config, music_loss, lyric_loss),
            music_loss=music_loss,
            lyric_loss=lyric_loss,
            attention=output.attention,
        )

    def attention_of_window(self, codes: Tensor, labels: Tensor, layer: int) -> Tensor:
        """The softmax weights of one layer for windows, as `forward` records them.

        Layers after it are not run, nor are logits computed: for `mini`, whose head for the lyrics
        is in the third of twelve layers, a fraction of the work. Of a window that is not full only
        the codes that are there are read; none of them sees what would follow.

        codes     int64 [B, n], 1 <= n <= context_tokens
        labels    int64 [B, W], see `condition`

        Raises:
            ValueError: a shape does not fit this prior.
        """
        check_beginnings(self.config, codes)
        conditioning = self.condition(labels)
        ids = self._sequence_ids(codes, conditioning)
        added = self._sequence_conditioning(conditioning, ids.shape[1])
        x = self._embed(ids[:, :-1], conditioning, added)
        return self.transformer.attention_in(x, conditioning.lyric_states, layer)

    def activations(self, codes: Tensor, conditioning: Conditioning, num_layers: int) -> Tensor:
        """What `num_layers` layers make of the beginning of a window, float32 [B, n, C].

        See `layer_activations`.
        """
        return self.layer_activations(codes, conditioning, (num_layers,))[0]

    def layer_activations(
        self, codes: Tensor, conditioning: Conditioning, layers: Sequence[int]
    ) -> list[Tensor]:
        """The states after n layers, float32 [B, n, C], for each n of `layers`, in one pass.

        The state at place t has read the codes before t and not code t, as in sampling; `get_acts`
        of the original gives the same for all layers. Lyrics in the same sequence are left out.

        codes  int64 [B, n], 1 <= n <= context_tokens

        Raises:
            ValueError: there are too many codes or none, or not so many layers.
        """
        check_beginnings(self.config, codes)
        num_layers = self.config.transformer.num_layers
        if not layers or not all(0 <= layer <= num_layers for layer in layers):
            raise ValueError(f"{layers=} of {num_layers}")
        ids = self._sequence_ids(codes, conditioning)
        added = self._sequence_conditioning(conditioning, ids.shape[1])
        x = self._embed(ids[:, :-1], conditioning, added)
        states = self.transformer.states_after(x, conditioning.lyric_states, layers)
        return [state[:, self.config.num_prefix_tokens :] for state in states]

    def _sequence_ids(self, codes: Tensor, conditioning: Conditioning) -> Tensor:
        """Ids [B, T] of the whole sequence: the lyrics first, if they share it."""
        ids = self.codes_to_ids(codes)
        if self.config.merged_vocabulary and conditioning.lyric_ids is not None:
            ids = torch.cat((conditioning.lyric_ids, ids), dim=1)
        return ids

    def _sequence_conditioning(self, conditioning: Conditioning, num_positions: int) -> Tensor:
        """Conditioning [B, num_positions, C] of the first positions; none on merged lyrics."""
        added = F.pad(conditioning.position_embedding, (0, 0, self.config.num_prefix_tokens, 0))
        return added[:, :num_positions]

    def _embed(self, ids: Tensor, conditioning: Conditioning, added: Tensor) -> Tensor:
        """Input [B, T, C] of T positions, given the T - 1 ids before the last of them."""
        start = conditioning.start_embedding.unsqueeze(1)
        x = torch.cat((start, self.token_embedding(ids)), dim=1)
        return x + self.position_embedding[: x.shape[1]] + added

    def logits_of(self, states: Tensor, added: Tensor) -> Tensor:
        """float32 [..., V]; `added` is the conditioning of the same positions."""
        if self.logits is not None:
            return F.linear(states, self.logits.weight)
        return F.linear(states + added, self.token_embedding.weight)

    def _losses(
        self, logits: Tensor, ids: Tensor, conditioning: Conditioning, counted: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        num_prefix = self.config.num_prefix_tokens
        music = mean_bits(logits[:, num_prefix:], ids[:, num_prefix:], counted)
        if num_prefix:
            return music, mean_bits(logits[:, :num_prefix], ids[:, :num_prefix])
        if self.lyric_encoder is None or conditioning.lyric_ids is None:
            return music, music.new_zeros(())
        lyric_logits = self.lyric_encoder.logits(conditioning.lyric_states)
        return music, mean_bits(lyric_logits, conditioning.lyric_ids)

    # ---- one token after another ----

    def allocate_cache(
        self,
        num_slots: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PriorCache:
        """Static addresses for `num_slots` windows; by default beside the weights, in their dtype.

        `dtype` must be the compute dtype at the time of use.
        """
        where = torch.device(device) if device is not None else self.position_embedding.device
        computed = dtype or self.compute_dtype
        strips = strip_dtype(self.config, computed, where, int8_weights=self.has_int8_weights)
        return PriorCache(self.config, num_slots, device=where, dtype=computed, strips=strips)

    @torch.inference_mode()
    def prefill(
        self, codes: Tensor, conditioning: Conditioning, cache: PriorCache, slots: Tensor
    ) -> Tensor:
        """Begin windows in `slots`, reading the codes they begin with in one parallel pass.

        codes    int64 [B, n], 0 <= n < context_tokens; the same n for all rows of a call
        slots    int64 [B], each at most once; what they held before is forgotten
        returns  float32 [B, V]: logits of music token n

        Raises:
            ValueError: the window would have no token left to sample.
        """
        x, added = self.embed_prefix(codes, conditioning, cache, slots)
        last = self.transformer.prefill(x, conditioning.lyric_states, cache, slots)
        return self.logits_of(last, added)

    def embed_prefix(
        self, codes: Tensor, conditioning: Conditioning, cache: PriorCache, slots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What `prefill` reads: its input float32 [B, T, C], and the conditioning of the last
        position, float32 [B, C]. Empties `slots`.

        Raises:
            ValueError: the window would have no token left to sample.
        """
        if codes.shape[1] >= self.config.context_tokens:
            raise ValueError(
                f"{codes.shape[1]} codes leave nothing to draw in a window of "
                f"{self.config.context_tokens}"
            )
        cache.begin(slots, conditioning.position_embedding)
        ids = self._sequence_ids(codes, conditioning)
        added = self._sequence_conditioning(conditioning, ids.shape[1] + 1)
        return self._embed(ids, conditioning, added), added[:, -1]

    @torch.inference_mode()
    def decode(self, ids: Tensor, positions: Tensor, cache: PriorCache, slots: Tensor) -> Tensor:
        """Logits of one more token of each row. Rows may stand anywhere; the host never waits.

        ids        int64 [B]   the last token of each row, as it was sampled
        positions  int64 [B]   music position of the token to predict: 1 .. context_tokens - 1
        slots      int64 [B]   each at most once
        returns    float32 [B, V]
        """
        x, added, sequence_positions = self.embed_step(ids, positions, cache, slots)
        x = self.transformer.decode(x, cache, cache.plan(sequence_positions, slots))
        return self.logits_of(x, added)

    def embed_step(
        self, ids: Tensor, positions: Tensor, cache: PriorCache, slots: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `decode` reads: its input and its conditioning, float32 [B, C] both, and the
        positions in the whole sequence, int64 [B].
        """
        places = slots * self.config.context_tokens + positions
        added = cache.position_embedding.flatten(0, 1).index_select(0, places)
        sequence_positions = positions + self.config.num_prefix_tokens
        x = F.embedding(ids, self.token_embedding.weight)
        x = x + self.position_embedding.index_select(0, sequence_positions) + added
        return x, added, sequence_positions
