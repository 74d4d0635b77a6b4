"""The filter behind the bottom decoder: optional, and the same in pieces as in the whole."""

from dataclasses import replace

import pytest
import torch

from jukebox_core.config import JukeboxConfig, JukeboxVQVAEConfig, PostFilterConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.errors import ConfigError
from jukebox_core.tiny import tiny_config
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.chunks import decoder_grid_tokens, plan_chunks
from jukebox_core.vqvae.post_filter import PostFilter
from jukebox_core.vqvae.streaming import iter_finished_sound

PLAIN = JukeboxVQVAEConfig(
    downs=(2, 1, 1), strides=(2, 4, 2), num_codes=32, embedding_width=8, width=8, depth=2
)
FILTER = PostFilterConfig(
    n_fft=64, hop=16, width=4, time_dilations=(1, 2, 1), bin_dilations=(1, 2, 4)
)
FILTERED = replace(PLAIN, post_filter=FILTER)


def plain_and_filtered():
    """Two codecs that differ in a filter that is at work."""
    torch.manual_seed(0)
    plain = JukeboxVQVAE(PLAIN).eval()
    filtered = JukeboxVQVAE(FILTERED).eval()
    filtered.load_state_dict(plain.state_dict(), strict=False)
    for weight in filtered.post_filter.layers[-1].parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return plain, filtered


def codes_of(num_tokens, batch=1):
    torch.manual_seed(1)
    return torch.randint(PLAIN.num_codes, (batch, num_tokens))


def test_a_new_filter_changes_nothing():
    audio = torch.randn(2, 1000)
    torch.testing.assert_close(PostFilter(FILTER)(audio), audio, rtol=0, atol=1e-5)


def test_eight_layers_have_14_thousand_parameters():
    num = sum(weight.numel() for weight in PostFilter(PostFilterConfig()).parameters())
    assert num == 14_369


def test_only_the_bottom_is_filtered():
    plain, filtered = plain_and_filtered()
    codes = codes_of(50)
    for level in (Level.MIDDLE, Level.TOP):
        assert torch.equal(filtered.decode([codes], level), plain.decode([codes], level))
    difference = filtered.decode([codes], 0) - plain.decode([codes], 0)
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("chunk_tokens", [None, 1, 7, 64, 150])
def test_a_filtered_song_in_pieces_sounds_as_in_one(chunk_tokens):
    _, filtered = plain_and_filtered()
    codes = codes_of(403, batch=2)
    whole = filtered.decode([codes])
    pieces = filtered.decode_chunked(codes, 0, chunk_tokens)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("start", "end"), [(0, 5), (3, 201), (199, 200), (300, 403)])
def test_a_part_of_a_filtered_song_sounds_as_in_the_whole(start, end):
    _, filtered = plain_and_filtered()
    codes = codes_of(403)
    hop = FILTERED.samples_per_token[0]
    whole = filtered.decode([codes])[:, start * hop : end * hop]
    part = filtered.decode_between(codes, 0, start, end)
    torch.testing.assert_close(part, whole, rtol=0, atol=1e-5)


def test_a_part_may_be_decoded_from_its_own_codes_alone():
    """As a worker does: it cuts the codes where the plan says, and no others are there."""
    _, filtered = plain_and_filtered()
    codes, hop = codes_of(403), FILTERED.samples_per_token[0]
    whole = filtered.decode([codes])
    reach, grid = decoder_reach_tokens(FILTERED, 0), decoder_grid_tokens(FILTERED, 0)
    assert grid == 4
    for chunk in plan_chunks(403, 61, reach, grid):
        own = codes[:, chunk.start : chunk.end]
        sound = filtered.decode_between(
            own, 0, chunk.keep_start - chunk.start, chunk.keep_end - chunk.start
        )
        wanted = whole[:, chunk.keep_start * hop : chunk.keep_end * hop]
        torch.testing.assert_close(sound, wanted, rtol=0, atol=1e-5)


def test_a_filtered_song_that_grows_sounds_as_in_one():
    _, filtered = plain_and_filtered()
    codes = codes_of(403)
    so_far = [codes[:, :end] for end in (50, 180, 181, 300, 403)]
    pieces = list(iter_finished_sound(filtered, Level.BOTTOM, so_far, 403))
    assert len(pieces) > 2
    torch.testing.assert_close(
        torch.cat(pieces, dim=1), filtered.decode([codes]), rtol=0, atol=1e-5
    )


def test_a_token_changes_no_filtered_audio_beyond_its_reach():
    _, filtered = plain_and_filtered()
    reach, hop = decoder_reach_tokens(FILTERED, 0), FILTERED.samples_per_token[0]
    codes = codes_of(2 * reach + 11)
    changed = codes.clone()
    place = reach + 5
    changed[0, place] = (codes[0, place] + 1) % PLAIN.num_codes
    moved = (filtered.decode([codes]) - filtered.decode([changed])).abs()[0, :, 0] > 1e-6
    tokens = moved.nonzero().flatten() // hop
    assert tokens.min() >= place - reach
    assert tokens.max() <= place + reach


def test_a_configuration_without_a_filter_is_written_as_it_always_was():
    config = tiny_config()
    assert "post_filter" not in config.to_dict()["vqvae"]
    filtered = replace(config, vqvae=replace(config.vqvae, post_filter=FILTER))
    assert JukeboxConfig.from_dict(filtered.to_dict()) == filtered
    assert JukeboxConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    "values",
    [
        {"n_fft": 1022},
        {"hop": 0},
        {"hop": 300},
        {"hop": 192},
        {"width": 0},
        {"time_dilations": (1,)},
        {"bin_dilations": (1, 2, 4, 8, 16, 4, 2, 0)},
        {"time_dilations": (), "bin_dilations": ()},
    ],
)
def test_a_filter_that_cannot_be_is_refused(values):
    with pytest.raises(ConfigError, match="post-filter"):
        PostFilterConfig(**values)
