"""Encoding in pieces is encoding at once."""

import pytest
import torch

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.errors import AudioError
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.long_audio import encode_chunked, encoder_reach_tokens

SMALL = JukeboxVQVAEConfig(
    downs=(2, 1, 1), strides=(2, 4, 2), num_codes=32, embedding_width=8, width=8, depth=2
)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    vqvae = JukeboxVQVAE(SMALL).eval()
    audio = torch.randn(1, 1, 32 * max(SMALL.samples_per_token))
    for level in Level:
        # Its own vectors as the codebook: so noise becomes many different codes.
        vqvae.codebooks[level].codes.copy_(vqvae.encoders[level](audio)[0, :, :32].T.detach())
    return vqvae


@pytest.mark.parametrize("level", Level)
def test_a_sample_changes_no_vector_beyond_the_reach_and_some_at_the_end_of_it(small, level):
    reach, hop = encoder_reach_tokens(SMALL, level), SMALL.samples_per_token[level]
    place, length = reach + 3, 2 * reach + 7
    encoder = small.encoders[level].double()
    torch.manual_seed(1)
    audio = torch.randn(1, 1, length * hop, dtype=torch.float64)
    changed = audio.clone()
    changed[0, 0, place * hop : (place + 1) * hop] += 1.0
    moved = (encoder(audio) - encoder(changed)).abs().amax(1)[0].nonzero().flatten()
    encoder.float()
    assert place - moved.min() <= reach
    assert moved.max() - place <= reach
    assert max(place - moved.min(), moved.max() - place) >= reach - 1


@pytest.mark.parametrize("chunk_tokens", [1, 7, 64, 1000])
@pytest.mark.parametrize("level", Level)
def test_encoding_in_pieces_gives_the_same_codes(small, level, chunk_tokens):
    torch.manual_seed(2)
    hop = SMALL.samples_per_token[level]
    audio = torch.randn(2, 201 * hop, 1)
    (whole,) = small.encode(audio, start_level=level, end_level=level + 1)
    assert len(whole.unique()) > 16
    assert torch.equal(encode_chunked(small, audio, level, chunk_tokens), whole)
    tail = torch.cat((audio, torch.randn(2, hop - 1, 1)), dim=1)
    assert encode_chunked(small, tail, level, chunk_tokens).shape == whole.shape


def test_the_released_encoders_reach_about_as_far_as_the_decoders():
    released = JukeboxVQVAEConfig()
    reaches_sec = [
        encoder_reach_tokens(released, level) * released.samples_per_token[level] / 44_100
        for level in Level
    ]
    assert reaches_sec == pytest.approx([1.04, 0.058, 0.24], rel=0.02)


@pytest.mark.parametrize("shape", [(1, 31, 1), (1, 640), (1, 640, 2), (1, 0, 1)])
def test_audio_of_another_shape_is_refused_with_a_sentence(small, shape):
    with pytest.raises(AudioError, match=r"wanted \[batch, samples, 1\]"):
        encode_chunked(small, torch.zeros(shape), Level.TOP)
