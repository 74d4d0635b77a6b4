"""The model that is made on the spot."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from jukebox_core.checkpoints import load_directory
from jukebox_core.config import AttentionKind
from jukebox_core.tiny import LOUDNESS_RMS, tiny_config, write_tiny
from jukebox_core.units import COARSE_TO_FINE, Level


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_directory(tiny_model_dir)


def contents(directory):
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_ten_seconds_are_as_many_tokens_as_planned(tiny):
    time_base = tiny.config.time_base
    assert tiny.config.vqvae.samples_per_token == (16, 64, 256)
    assert [time_base.seconds_to_tokens(10.0, level) for level in COARSE_TO_FINE] == [
        625,
        2500,
        10_000,
    ]


def test_it_has_the_parts_of_a_real_model(tiny):
    top, middle, bottom = tiny.config.priors
    assert top.transformer.layers[top.lyrics.alignment_layer] is AttentionKind.LYRIC_ENCODER
    assert top.lyrics.alignment_head < top.transformer.num_heads
    assert [prior.labels.version for prior in (top, middle, bottom)] == ["v3", "v2", "v2"]
    assert (top.tied_embeddings, middle.tied_embeddings) == (False, True)


@pytest.mark.parametrize("level", Level)
def test_its_noise_is_loud_enough_and_never_clipped(tiny, level):
    torch.manual_seed(1)
    codes = torch.randint(tiny.config.vqvae.num_codes, (1, 160_000 // (16, 64, 256)[level]))
    audio = tiny.vqvae.decode_chunked(codes, level)
    assert audio.square().mean().sqrt() == pytest.approx(LOUDNESS_RMS, rel=0.2)
    assert audio.abs().max() < 0.9


@pytest.mark.parametrize("level", COARSE_TO_FINE)
def test_what_it_is_told_changes_what_it_expects(tiny, level):
    prior = tiny.priors[COARSE_TO_FINE.index(level)]
    config = prior.config
    torch.manual_seed(2)
    codes = torch.randint(config.num_codes, (1, config.context_tokens))
    upper = torch.randint(config.num_codes, (1, config.upper_context_tokens))
    upper = upper if config.conditioner is not None else None
    num_lyrics = config.lyrics.num_tokens if config.lyrics is not None else 0
    labels = torch.zeros(1, 4 + config.labels.max_genres + num_lyrics, dtype=torch.int64)
    labels[0, 0], labels[0, 2] = 160_000, config.context_samples
    changed = labels.clone()
    changed[0, 3] = 5
    with torch.inference_mode():
        logits = prior(codes, labels, upper).logits
        other = prior(codes, changed, upper).logits
    assert 0.5 < logits.std() < 5.0
    assert (logits - other).abs().max() > 0.1


def test_it_knows_eight_artists_and_eight_genres_in_both_versions(tiny):
    for vocabulary in tiny.tokenizer.vocabularies.values():
        assert len(set(vocabulary.artists.values()) - {0}) == 8
        assert len(set(vocabulary.genres.values()) - {0}) == 8
    resolved = tiny.tokenizer.resolve("Null Island Choir", "Slow Waltz")
    assert resolved["top"]["genres"][0]["known"]
    assert [genre["known"] for genre in resolved["bottom"]["genres"]] == [False, True]


def test_a_seed_always_gives_the_same_model(tiny_model_dir, tmp_path):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    write_tiny(tmp_path / "tiny")
    assert torch.equal(torch.get_rng_state(), before)
    assert contents(tmp_path / "tiny") == contents(tiny_model_dir)


def test_another_seed_gives_another_model(tmp_path):
    write_tiny(tmp_path / "tiny", seed=0)
    before = contents(tmp_path / "tiny")
    write_tiny(tmp_path / "tiny", seed=1)
    after = contents(tmp_path / "tiny")
    assert before["vqvae.safetensors"] != after["vqvae.safetensors"]
    assert load_directory(tmp_path / "tiny").config == tiny_config(seed=1)


def test_what_is_written_already_is_left_alone(tmp_path):
    write_tiny(tmp_path / "tiny")
    before = (tmp_path / "tiny" / "vqvae.safetensors").stat().st_mtime_ns
    write_tiny(tmp_path / "tiny")
    assert (tmp_path / "tiny" / "vqvae.safetensors").stat().st_mtime_ns == before


def test_what_is_half_there_is_written_again(tmp_path):
    write_tiny(tmp_path / "tiny")
    (tmp_path / "tiny" / "prior_top.safetensors").unlink()
    write_tiny(tmp_path / "tiny")
    load_directory(tmp_path / "tiny")


def test_many_may_write_it_at_once(tmp_path):
    commands = [[sys.executable, "-m", "jukebox_core.tiny", str(tmp_path / "tiny")]] * 2
    with ThreadPoolExecutor(len(commands)) as pool:
        done = list(pool.map(lambda command: subprocess.run(command, check=False), commands))
    assert [each.returncode for each in done] == [0, 0]
    load_directory(tmp_path / "tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
