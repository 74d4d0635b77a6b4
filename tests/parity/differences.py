"""Where this library and transformers 4.57.6 differ on purpose, measured on both.

Small random models in the shapes of the released ones; seconds on a CPU. The last line is JSON:
for each measure what theirs gives and what ours gives. `docs/guides/from_transformers.md` explains
it, and a test holds the page to it.

`python -m tests.parity.differences`, from the root of the repository.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers.models.deprecated.jukebox.modeling_jukebox import get_alignment

from jukebox_core import JukeboxModel, Level
from jukebox_core.labels import LyricAlphabet, window_labels
from jukebox_core.song import default_sampling
from jukebox_core.units import COARSE_TO_FINE
from tests.parity.transformers_pair import (
    RATE_HZ,
    TOP_TOKEN_SAMPLES,
    Pair,
    arguments_of,
    inputs_of,
    nothing,
    open_pair,
    outcome,
    random_codes,
    seconds,
    some_codes,
    their_options,
)


def decoded_samples(pair: Pair) -> tuple[int, int]:
    """Audio samples that `decode` makes of 16 top tokens and what lies under them."""
    codes = some_codes(16)
    with torch.no_grad():
        theirs = pair.theirs.decode([stream.clone() for stream in codes])
    return theirs.shape[1], pair.ours.decode(codes).shape[1]


def primed_top_codes(pair: Pair) -> tuple[int, int]:
    """Top codes of a song of 64 that begins with sound of 20."""
    generator = torch.Generator().manual_seed(1)
    audio = 0.1 * torch.randn(1, 20 * TOP_TOKEN_SAMPLES, 1, generator=generator)
    theirs = pair.theirs.primed_sample(audio, pair.their_labels(), **their_options(64, [0]))
    ours = pair.ours.primed_sample(
        audio, pair.our_labels(), duration_sec=seconds(64), levels=[Level.TOP]
    )
    return theirs[0].shape[1], ours[0].shape[1]


def continued_top_codes(pair: Pair) -> tuple[int, int]:
    """Top codes of a song of 20 that was continued to 40."""
    theirs, ours = _continued(pair)
    return theirs.shape[1], ours.shape[1]


def continued_repeats(pair: Pair) -> tuple[bool, bool]:
    """Whether the last four codes of the beginning come a second time right after it."""
    theirs, ours = (codes[0].tolist() for codes in _continued(pair))
    return theirs[20:24] == theirs[16:20], ours[20:24] == ours[16:20]


def _continued(pair: Pair) -> tuple[Tensor, Tensor]:
    begun = some_codes(20)
    torch.manual_seed(0)
    theirs = pair.theirs.continue_sample(
        [stream.clone() for stream in begun], pair.their_labels(), **their_options(40, [0])
    )
    ours = pair.ours.continue_sample(
        begun, pair.our_labels(), duration_sec=seconds(40), levels=[Level.TOP]
    )
    return theirs[0], ours[0]


def upsampled_codes(pair: Pair) -> tuple[list[int], list[int]]:
    """Codes per level, top first, after upsampling a draft of 16 with the default settings."""
    draft = random_codes(16)
    theirs = pair.theirs.upsample(
        [draft.clone(), nothing(), nothing()], pair.their_labels(), **their_options(16)
    )
    ours = pair.ours.upsample([draft], pair.our_labels())
    return [stream.shape[1] for stream in theirs], [stream.shape[1] for stream in ours]


def window_upper_codes(pair: Pair) -> tuple[list[int], list[int]]:
    """Codes above that each window of the middle level reads, in a song of 24 top codes."""
    theirs, ours = pair.theirs.priors[1].conditioner_blocks, pair.ours.prior(Level.MIDDLE)
    with inputs_of(theirs) as read, inputs_of(ours.conditioner) as our_read:
        _upsample_in_two_windows(pair)
    return [codes.shape[1] for codes in read], [codes.shape[1] for codes in our_read]


def positions_per_step(pair: Pair) -> tuple[int, int]:
    """Positions that the middle prior computes for the last code it draws in that song."""
    theirs = pair.theirs.priors[1].prior.transformer._attn_mods[0].mlp.c_fc
    ours = pair.ours.prior(Level.MIDDLE).transformer.layers[0].mlp
    # Ours calls `forward` itself, past all hooks.
    with inputs_of(theirs) as states, arguments_of(ours, "forward") as calls:
        _upsample_in_two_windows(pair)
    (our_states,) = calls[-1][0]
    return states[-1].shape[:-1].numel(), our_states.shape[:-1].numel()


def _upsample_in_two_windows(pair: Pair) -> None:
    draft = random_codes(24)
    pair.theirs.upsample(
        [draft.clone(), nothing(), nothing()], pair.their_labels(), **their_options(24, [1])
    )
    pair.ours.upsample([draft], pair.our_labels(), levels=[Level.TOP, Level.MIDDLE])


def label_vectors(
    pair: Pair, run_theirs: Callable[[], Any], run_ours: Callable[[], Any]
) -> tuple[Tensor, Tensor]:
    """The label vectors that both top priors read in a run: int64 [B, W] each."""
    top = pair.ours.prior(Level.TOP)
    with arguments_of(pair.theirs.priors[0], "get_cond") as theirs:
        run_theirs()
    with arguments_of(top, "condition") as ours:
        run_ours()
    # Ours may begin the rows of a batch one by one.
    return theirs[0][0][1], torch.cat([given[0] for given, _ in ours])


def song_seconds(pair: Pair) -> tuple[float, float]:
    """Length of the whole song as the prior is told it, when 16 top tokens of 62 s are drawn."""
    theirs, ours = label_vectors(
        pair,
        lambda: pair.theirs.ancestral_sample(pair.their_labels(), **their_options(16, [0])),
        lambda: pair.ours.ancestral_sample(
            pair.our_labels(),
            duration_sec=seconds(16),
            song_duration_sec=62.0,
            levels=[Level.TOP],
        ),
    )
    return tuple(round(labels[0, 0].item() / RATE_HZ, 3) for labels in (theirs, ours))


def offset_samples(pair: Pair) -> tuple[int, int]:
    """Where the drawn part begins as the prior is told it, for an offset of 1,000 samples."""
    theirs = pair.theirs.priors[0].get_metadata(pair.their_labels()[0], 0, 8192, 1000)
    prior = pair.ours.prior(Level.TOP)
    with arguments_of(prior, "condition") as ours:
        pair.ours.ancestral_sample(
            pair.our_labels(),
            duration_sec=seconds(1),
            offset_sec=1000 / RATE_HZ,
            levels=[Level.TOP],
        )
    return theirs[0, 1].item(), ours[0][0][0][0, 1].item()


def lyrics_of_a_batch(pair: Pair) -> tuple[int, int]:
    """Different lyrics that reach the top prior when it sings two songs with their own lyrics."""
    words = ("Hello, hello", "Good night, a")
    words = (words[0].ljust(16), words[1].ljust(16))
    songs = [pair.their_tokenizer("The Sawtooths", "drone", each)["input_ids"] for each in words]
    both = [torch.cat(level) for level in zip(*songs, strict=True)]
    theirs, ours = label_vectors(
        pair,
        lambda: pair.theirs.ancestral_sample(both, 2, **their_options(2, [0])),
        lambda: pair.ours.ancestral_sample(
            pair.ours.tokenizer("The Sawtooths", "drone", words),
            duration_sec=seconds(2),
            levels=[Level.TOP],
        ),
    )
    return len(theirs[:, -16:].unique(dim=0)), len(ours[:, -16:].unique(dim=0))


def temperatures(pair: Pair) -> tuple[list[float], list[float]]:
    """Default temperatures, top first."""
    theirs = []
    for level in range(3):
        codes = [random_codes(16), random_codes(63), nothing()]
        with arguments_of(pair.theirs.priors[level], "sample") as calls:
            pair.theirs.continue_sample(
                [
                    stream[:, :15] if index == level else stream
                    for index, stream in enumerate(codes)
                ],
                pair.their_labels(),
                **their_options(1, [level]),
            )
        theirs.append(calls[0][1]["temp"])
    return theirs, [default_sampling()[level].temperature for level in COARSE_TO_FINE]


def draft_below_the_minimum(pair: Pair) -> tuple[str | int, str | int]:
    """Top codes of a draft of 16, or why there are none, without `min_duration=0`."""
    strict = transformers.JukeboxModel.from_pretrained(pair.directory).eval()
    theirs = outcome(
        lambda: strict.ancestral_sample(pair.their_labels(), **their_options(16, [0]))[0].shape[1]
    )
    ours = outcome(
        lambda: pair.ours.ancestral_sample(
            pair.our_labels(), duration_sec=seconds(16), levels=[Level.TOP]
        )[0].shape[1]
    )
    return theirs, ours


def alignment(pair: Pair) -> tuple[Any, Any]:
    """Tokens and characters of an alignment, or why there is none."""
    model, codes = pair.theirs.priors[0], random_codes(16)
    theirs = outcome(
        lambda: (
            get_alignment([codes.clone()] * 3, pair.their_labels()[0], model, pair.theirs.config)[
                0
            ].shape
        )
    )
    (ours,) = pair.ours.align(codes, pair.our_labels(), song_duration_sec=62.0)
    return theirs, list(ours.shape)


def saved(pair: Pair) -> tuple[Any, Any]:
    """Weight files after `save_pretrained` with its default settings, or why there are none."""
    counts = []
    for model in (pair.theirs, pair.ours):
        with tempfile.TemporaryDirectory() as folder:
            counts.append(outcome(partial(_num_saved, model, Path(folder) / "saved")))
    return counts[0], counts[1]


def _num_saved(model: JukeboxModel | transformers.JukeboxModel, directory: Path) -> int:
    model.save_pretrained(directory)
    return len(list(directory.glob("*.safetensors")))


def vqvae_in_half(pair: Pair) -> tuple[str, str]:
    """Precision of the VQ-VAE when the model is asked to be in half precision."""
    half = torch.float16
    theirs = transformers.JukeboxModel.from_pretrained(pair.directory, dtype=half)
    ours = JukeboxModel.from_pretrained(pair.directory, dtype=half)
    return tuple(
        str(next(model.vqvae.parameters()).dtype).removeprefix("torch.") for model in (theirs, ours)
    )


def artist_with_dots(pair: Pair) -> tuple[int, int]:
    """Id of "R.E.M.", which both libraries' lists know as r_e_m."""
    theirs, ours = _first_labels(pair, "R.E.M.", "drone", "")
    return theirs[3], ours[3]


def genre_of_two_words(pair: Pair) -> tuple[list[int], list[int]]:
    """Ids of "Country Rock" where the lists know both words."""
    theirs, ours = _first_labels(pair, "The Sawtooths", "Country Rock", "")
    return [id_ for id_ in theirs[4:] if id_ >= 0], [id_ for id_ in ours[4:] if id_ >= 0]


def curly_apostrophe(pair: Pair) -> tuple[str, str]:
    """What is left of "Don\u2019t stop"."""
    return _heard(pair, "Don\u2019t stop")


def plus_sign(pair: Pair) -> tuple[str, str]:
    """What is left of "one + one"; a sign without a letter to it is shown as a hash."""
    return _heard(pair, "one + one")


def _heard(pair: Pair, lyrics: str) -> tuple[str, str]:
    alphabet = LyricAlphabet(pair.ours.config.prior(Level.TOP).labels.version)
    theirs, ours = (
        ids[4 + pair.their_tokenizer.n_genres :]
        for ids in _first_labels(pair, "The Sawtooths", "drone", lyrics)
    )
    return tuple(
        "".join(alphabet.decode([id_]) if id_ else "#" for id_ in ids) for ids in (theirs, ours)
    )


def _first_labels(pair: Pair, artist: str, genre: str, lyrics: str) -> tuple[list[int], list[int]]:
    theirs = pair.their_tokenizer(artist, genre, lyrics)["input_ids"][0]
    ours = pair.ours.tokenizer(artist, genre, lyrics)["input_ids"][0]
    return theirs[0].tolist(), ours[0].tolist()


def length_bin(pair: Pair) -> tuple[int, int]:
    """Entry, of 128, that stands for a song of three minutes once drafts can be drawn."""
    labels = _three_minutes(pair, Level.TOP)
    their_top, top = pair.theirs.priors[0], pair.ours.prior(Level.TOP)
    table = their_top.metadata_embedding.total_length_emb.emb
    with inputs_of(table) as theirs, inputs_of(top.labels.total_length) as ours:
        their_top.get_cond([], labels)
        top.condition(labels)
    return theirs[0].item(), ours[0].item()


def largest_differences(pair: Pair) -> dict[str, float]:
    """How far the two are apart where they mean to compute the same."""
    # As it was trained: `min_duration=0` moves all the entries of the table of lengths.
    theirs = transformers.JukeboxModel.from_pretrained(pair.directory).eval()
    generator = torch.Generator().manual_seed(2)
    audio, codes = 0.1 * torch.randn(1, 8192, 1, generator=generator), random_codes(64)
    with torch.no_grad():
        encoded = zip(theirs.vqvae.encode(audio), pair.ours.vqvae.encode(audio), strict=True)
        num_different = sum(int((their != our).sum()) for their, our in encoded)
        decoded = theirs.vqvae.decode([codes], start_level=0, end_level=1)
        return {
            "encoded_codes": float(num_different),
            "decoded_audio": float((decoded - pair.ours.vqvae.decode([codes])).abs().max()),
            "logits_of_a_window": max(
                _logits_difference(pair, prior, level)
                for prior, level in zip(theirs.priors, COARSE_TO_FINE, strict=True)
            ),
        }


def _logits_difference(pair: Pair, theirs: torch.nn.Module, level: Level) -> float:
    ours = pair.ours.prior(level)
    codes = random_codes(ours.config.context_tokens)
    upper = None if level is Level.TOP else random_codes(ours.config.upper_context_tokens)
    labels = _three_minutes(pair, level)
    audio, metadata, lyrics = theirs.get_cond([] if upper is None else [upper], labels)
    states = theirs.get_encoder_states(lyrics)
    _, wanted = theirs.prior(codes, audio, metadata, states, get_preds=True)
    found = ours(codes, labels, upper).logits
    return float((found - wanted.view_as(found)).abs().max())


def _three_minutes(pair: Pair, level: Level) -> Tensor:
    """Labels of the first window of a song of three minutes: int64 [1, W]."""
    labels = window_labels(
        pair.ours.config.prior(level),
        pair.our_labels().for_level(level)[0],
        total_samples=180 * RATE_HZ,
        offset_samples=0,
        start_token=0,
    )
    return torch.tensor([labels])


ON_5B = (
    decoded_samples,
    primed_top_codes,
    continued_top_codes,
    continued_repeats,
    upsampled_codes,
    window_upper_codes,
    positions_per_step,
    song_seconds,
    offset_samples,
    lyrics_of_a_batch,
    temperatures,
    draft_below_the_minimum,
    length_bin,
    saved,
    vqvae_in_half,
    artist_with_dots,
    genre_of_two_words,
    curly_apostrophe,
    plus_sign,
)
ON_1B = (alignment, plus_sign)
"""1b_lyrics is the one with v3 label lists, and here the one with an alignment head."""


def measure() -> dict[str, Any]:
    """Every measure, by name: what theirs gives and what ours gives; and the differences."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, measures in (("5b", ON_5B), ("1b", ON_1B)):
            pair = open_pair(Path(folder) / kind, kind)
            for each in measures:
                name = each.__name__ if kind == "5b" else f"{each.__name__}_{kind}"
                theirs, ours = each(pair)
                found[name] = {"theirs": theirs, "ours": ours}
            if kind == "5b":
                found["differences"] = largest_differences(pair)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure()) + "\n")
