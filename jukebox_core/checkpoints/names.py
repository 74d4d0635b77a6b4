"""Translating the names of other people's checkpoints, written as tables of templates.

A row such as `("model.{s+1}.0.{end}", "stages.{s}.upsample.{end}")` translates `model.3.0.w` to
`stages.2.upsample.weight`. A letter stands for a whole number, `{2s+1}` for twice it and one more;
`{end}` stands for `weight` or `bias`, which the original shortens to `w` and `b`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from jukebox_core.checkpoints.tensor_files import StoredTensor
from jukebox_core.config import AttentionKind, JukeboxPriorConfig
from jukebox_core.errors import CheckpointError

NameTable = Sequence[tuple[str, str]]

_FIELD = re.compile(r"\{(?:(end)|(\d?)([a-z])(?:\+(\d+))?)\}")
_ENDS = {"w": "weight", "b": "bias", "weight": "weight", "bias": "bias"}


@dataclass(frozen=True, slots=True)
class _Index:
    letter: str
    factor: int
    offset: int

    def value_of(self, written: str) -> int | None:
        """The number that the letter stands for, or None if it cannot be written so."""
        value, rest = divmod(int(written) - self.offset, self.factor)
        return value if rest == 0 and value >= 0 else None


@dataclass(frozen=True, slots=True)
class _Row:
    pattern: re.Pattern[str]
    indices: tuple[_Index, ...]
    ours: str

    def translate(self, name: str) -> str | None:
        """Our name, or None if this row does not speak of `name`."""
        match = self.pattern.fullmatch(name)
        if match is None:
            return None
        values: dict[str, str] = {}
        for place, index in enumerate(self.indices):
            value = index.value_of(match[f"i{place}"])
            if value is None:
                return None
            values[index.letter] = str(value)
        if "end" in self.pattern.groupindex:
            values["end"] = _ENDS[match["end"]]
        return self.ours.format_map(values)


def _row(theirs: str, ours: str) -> _Row:
    pattern, place = "", 0
    indices: list[_Index] = []
    for field in _FIELD.finditer(theirs):
        pattern += re.escape(theirs[place : field.start()])
        place = field.end()
        if field[1]:
            pattern += r"(?P<end>w|b|weight|bias)"
        else:
            pattern += rf"(?P<i{len(indices)}>\d+)"
            indices.append(_Index(field[3], int(field[2] or 1), int(field[4] or 0)))
    return _Row(re.compile(pattern + re.escape(theirs[place:])), tuple(indices), ours)


def translator(table: NameTable) -> Callable[[str], str | None]:
    """A function from a name to our name, or to None where no row of `table` fits."""
    rows = [_row(theirs, ours) for theirs, ours in table]

    def translate(name: str) -> str | None:
        translations = (row.translate(name) for row in rows)
        return next((ours for ours in translations if ours is not None), None)

    return translate


def layer_names(theirs: str, ours: str, *, norm: str) -> NameTable:
    """Rows for one transformer stack; `norm` is what the two layer norms are called before 0 or 1.

    Everything else in a layer is called alike by the original and by transformers.
    """
    layer, our_layer = theirs + "transformer._attn_mods.{i}.", ours + "transformer.layers.{i}."
    return (
        (layer + norm + "0.{end}", our_layer + "attention_norm.{end}"),
        (layer + norm + "1.{end}", our_layer + "mlp_norm.{end}"),
        (layer + "attn.c_attn.{end}", our_layer + "attention.qkv.{end}"),
        (layer + "attn.c_enc_kv.{end}", our_layer + "attention.lyric_key_value.{end}"),
        (layer + "attn.c_proj.{end}", our_layer + "attention.output.{end}"),
        (layer + "mlp.c_fc.{end}", our_layer + "mlp.input.{end}"),
        (layer + "mlp.c_proj.{end}", our_layer + "mlp.output.{end}"),
    )


def prior_translator(table: NameTable, config: JukeboxPriorConfig) -> Callable[[str], str | None]:
    """`translator` for a prior, whose layers to the lyric encoder project only queries.

    Others write both projections under one name; it depends on the layer which one is meant.
    """
    translate = translator(table)
    cross_layers = {
        f"transformer.layers.{layer}.attention.qkv."
        for layer, kind in enumerate(config.transformer.layers)
        if kind is AttentionKind.LYRIC_ENCODER
    }

    def translate_prior(name: str) -> str | None:
        ours = translate(name)
        if ours is not None and ours.rpartition(".")[0] + "." in cross_layers:
            return ours.replace(".qkv.", ".query.")
        return ours

    return translate_prior


def untie(tensors: dict[str, StoredTensor], config: JukeboxPriorConfig, where: str) -> None:
    """Drop one of the two names under which tied priors store one table.

    Raises:
        CheckpointError: they are tied by the configuration and differ in the file.
    """
    if not config.tied_embeddings or "logits.weight" not in tensors:
        return
    logits = tensors.pop("logits.weight")
    embedding = tensors.setdefault("token_embedding.weight", logits)
    if embedding.shape != logits.shape or not torch.equal(embedding.read(), logits.read()):
        raise CheckpointError(
            f"{where} does not fit the model: token_embedding.weight and logits.weight are one "
            "table by its configuration, but two different ones in the file"
        )


_PROJECTION_WEIGHT = re.compile(
    r"(lyric_encoder\.)?transformer\.layers\.\d+\."
    r"(attention\.(qkv|query|lyric_key_value|output)|mlp\.(input|output))\.weight"
    r"|lyric_encoder\.projection\.weight"
)


def with_half_weights(tensors: Mapping[str, StoredTensor]) -> dict[str, StoredTensor]:
    """The same, with the weights of all projections rounded to half, as `fp16_params` does."""
    return {
        name: tensor.rounded(torch.float16) if _PROJECTION_WEIGHT.fullmatch(name) else tensor
        for name, tensor in tensors.items()
    }
