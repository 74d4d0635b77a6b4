"""The numbers that the original computes with the same weights."""

import json

import pytest
import torch
from safetensors.torch import load_file

from jukebox_core.checkpoints import load_openai_vqvae
from jukebox_core.config import JukeboxConfig
from jukebox_core.units import Level

TOP_PRIORS = ("prior_1b_lyrics", "prior_5b_lyrics", "prior_5b")


@pytest.fixture(scope="module")
def expected(golden_dir):
    return load_file(golden_dir / "expected.safetensors")


@pytest.fixture(scope="module")
def vqvae(golden_dir):
    case = json.loads((golden_dir / "case.json").read_text())
    priors = [case["priors"][name] for name in (TOP_PRIORS[0], "upsampler_level_1")]
    config = JukeboxConfig.from_openai(
        case["vqvae"], [*priors, case["priors"]["upsampler_level_0"]]
    )
    return load_openai_vqvae(golden_dir / "vqvae.pth.tar", config.vqvae)


@pytest.mark.parametrize("level", Level)
def test_audio_is_encoded_to_exactly_the_original_codes(vqvae, expected, level):
    codes = vqvae.encode(expected["x"])
    assert torch.equal(codes[level], expected[f"encode_{level}"])


@pytest.mark.parametrize("level", Level)
def test_one_level_is_encoded_like_all_of_them(vqvae, expected, level):
    (codes,) = vqvae.encode(expected["x"], start_level=level, end_level=level + 1)
    assert torch.equal(codes, expected[f"encode_{level}"])


@pytest.mark.parametrize("level", Level)
def test_codes_are_decoded_to_the_original_audio(vqvae, expected, level):
    codes = [expected[f"encode_{each}"] for each in range(level, len(Level))]
    audio = vqvae.decode(codes, start_level=level)
    torch.testing.assert_close(audio, expected[f"decode_{level}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("top", TOP_PRIORS)
def test_sampled_codes_are_decoded_to_the_original_audio(vqvae, expected, top, level):
    audio = vqvae.decode_chunked(expected[f"{top}.sample_{level}"], level)
    torch.testing.assert_close(audio, expected[f"{top}.audio_{level}"], rtol=0, atol=1e-5)


def test_forward_renders_every_level_from_its_own_codes(vqvae, expected):
    output = vqvae(expected["x"])
    for level in Level:
        assert torch.equal(output.codes[level], expected[f"encode_{level}"])
        torch.testing.assert_close(
            output.reconstructions[level], expected[f"decode_{level}"], rtol=0, atol=1e-5
        )
    assert output.commit_loss.shape == ()
    assert output.commit_loss > 0
