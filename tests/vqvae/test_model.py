"""What holds for any weights."""

import pytest
import torch

from jukebox_core.config import JukeboxVQVAEConfig
from jukebox_core.config.decoder_reach import decoder_reach_tokens
from jukebox_core.errors import AudioError
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.chunks import near_chunk_tokens, plan_chunks
from jukebox_core.vqvae.codebook import CosineCodebook

RELEASED = JukeboxVQVAEConfig()
SMALL = JukeboxVQVAEConfig(
    downs=(2, 1, 1), strides=(2, 4, 2), num_codes=32, embedding_width=8, width=8, depth=2
)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return JukeboxVQVAE(SMALL).eval()


def test_the_released_architecture_has_the_released_number_of_parameters():
    with torch.device("meta"):
        released = JukeboxVQVAE(RELEASED)
    assert sum(parameter.numel() for parameter in released.parameters()) == 1_485_763
    assert sum(buffer.numel() for buffer in released.buffers()) == 393_216


def test_the_released_decoders_reach_as_far_as_measured_on_the_original():
    assert [decoder_reach_tokens(RELEASED, level) for level in Level] == [5742, 80, 82]


def test_a_processor_decodes_small_pieces_but_none_smaller_than_what_surrounds_it():
    assert [near_chunk_tokens(RELEASED, level) for level in Level] == [2 * 5742, 1024, 256]


def test_a_song_in_a_processors_pieces_sounds_as_in_one(small):
    codes = torch.randint(0, 32, (2, 2**16 // SMALL.samples_per_token[Level.TOP]))
    torch.testing.assert_close(
        small.decode_chunked(codes, Level.TOP),
        small.decode_chunked(codes, Level.TOP, codes.shape[1]),
        atol=1e-6,
        rtol=0,
    )


@pytest.mark.parametrize("level", Level)
def test_a_token_changes_no_audio_beyond_its_reach(small, level):
    reach, hop = decoder_reach_tokens(SMALL, level), SMALL.samples_per_token[level]
    place, length = reach + 5, 2 * reach + 11
    torch.manual_seed(1)
    codes = torch.randint(SMALL.num_codes, (1, length))
    changed = codes.clone()
    changed[0, place] = (codes[0, place] + 1) % SMALL.num_codes
    difference = (small.decode([codes], level) - small.decode([changed], level)).abs()[0, :, 0]
    moved = difference.nonzero().flatten() // hop
    assert moved.min() >= place - reach
    assert moved.max() <= place + reach


@pytest.mark.parametrize("chunk_tokens", [1, 7, 64, 1000])
@pytest.mark.parametrize("level", Level)
def test_decoding_in_pieces_gives_the_same_audio(small, level, chunk_tokens):
    torch.manual_seed(2)
    codes = torch.randint(SMALL.num_codes, (2, 203))
    whole = small.decode([codes], level)
    pieces = small.decode_chunked(codes, level, chunk_tokens)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("level", Level)
def test_the_released_architecture_decodes_in_pieces(level):
    torch.manual_seed(3)
    released = JukeboxVQVAE(RELEASED).eval()
    codes = torch.randint(RELEASED.num_codes, (1, 2**17 // RELEASED.samples_per_token[level]))
    pieces = released.decode_chunked(codes, level, codes.shape[1] // 3)
    torch.testing.assert_close(pieces, released.decode([codes], level), rtol=0, atol=1e-6)


def test_no_piece_is_larger_than_chunk_and_reach():
    chunks = list(plan_chunks(1_000_000, 65_536, 5742))
    assert max(chunk.end - chunk.start for chunk in chunks) <= 65_536 + 2 * 5742
    assert [chunk.keep_start for chunk in chunks[1:]] == [chunk.keep_end for chunk in chunks[:-1]]
    assert (chunks[0].keep_start, chunks[-1].keep_end) == (0, 1_000_000)


@pytest.mark.parametrize("shape", [(1, 0, 1), (1, 33, 1), (1, 64), (1, 64, 2)])
def test_audio_of_a_wrong_shape_is_refused_with_the_right_one(small, shape):
    with pytest.raises(AudioError, match=r"wanted \[batch, samples, 1\].*multiple of 32"):
        small.encode(torch.zeros(shape))


def test_gradients_reach_every_encoder_and_decoder():
    torch.manual_seed(4)
    vqvae = JukeboxVQVAE(SMALL)
    output = vqvae(torch.randn(1, 128, 1))
    loss = sum(audio.square().mean() for audio in output.reconstructions) + output.commit_loss
    loss.backward()
    assert all(parameter.grad is not None for parameter in vqvae.parameters())


def test_a_codebook_of_directions_finds_the_smallest_angle():
    torch.manual_seed(0)
    codebook = CosineCodebook(num_codes=16, width=3, embedding_width=5)
    vectors = torch.randn(2, 5, 7)
    projected = codebook.project_in(vectors.transpose(1, 2))
    cosines = projected @ codebook.codes.T / projected.norm(dim=-1, keepdim=True)
    assert torch.equal(codebook.encode(vectors), cosines.argmax(dim=-1))
    codes = codebook.encode(vectors)
    expected = codebook.project_out(codebook.codes[codes]).transpose(1, 2)
    torch.testing.assert_close(codebook.decode(codes), expected)
