"""Features are what the plain forward pass computes inside, window by window."""

import numpy as np
import pytest
import torch

from jukebox_core.checkpoints.openai import load_openai_vqvae
from jukebox_core.errors import AudioError, FeatureError, SongError
from jukebox_core.features import (
    UNKNOWN_SONG,
    FeatureParams,
    check_features,
    extract_features,
    extract_layers,
    iter_activations,
)
from jukebox_core.labels import window_labels
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from tests.engine.windows import GOLDEN_DIR, TOP_PRIORS, golden_config, golden_priors

HOP = 128
CONTEXT = 64


@pytest.fixture(scope="module")
def vqvae() -> JukeboxVQVAE:
    return load_openai_vqvae(GOLDEN_DIR / "vqvae.pth.tar", golden_config("prior_5b").vqvae)


def noise(num_tokens: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_tokens * HOP + 50, 1, generator=generator) / 4


def states_inside_forward(prior: JukeboxPrior, codes, start, total_samples, layer):
    """The output of one layer, caught during a teacher-forced pass over a whole window."""
    caught = []
    hook = prior.transformer.layers[layer - 1].register_forward_hook(
        lambda module, inputs, output: caught.append(output[0])
    )
    padded = torch.zeros(1, CONTEXT, dtype=torch.int64)
    padded[0, : len(codes)] = codes
    labels = window_labels(
        prior.config,
        UNKNOWN_SONG,
        total_samples=total_samples,
        offset_samples=0,
        start_token=start,
    )
    try:
        prior(padded, torch.tensor([labels]))
    finally:
        hook.remove()
    first = prior.config.num_prefix_tokens
    return caught[0][0, first : first + len(codes)].detach()


@pytest.mark.parametrize("top", TOP_PRIORS)
def test_every_layer_is_what_the_whole_forward_pass_computes(vqvae, top):
    prior = golden_priors(top)[Level.TOP]
    audio = noise(CONTEXT)
    normalized = audio[: CONTEXT * HOP] / audio.abs().max()
    codes = vqvae.encode(normalized[None])[Level.TOP][0]
    assert len(codes.unique()) >= 5
    num_layers = prior.config.transformer.num_layers
    for layer in (1, num_layers // 2, num_layers):
        wanted = states_inside_forward(prior, codes, 0, 62 * 44_100, layer)
        found = extract_features(vqvae, prior, audio, FeatureParams(layer=layer))
        np.testing.assert_allclose(found.values, wanted.numpy(), atol=1e-5)
        assert found.rate_hz == 44_100 / HOP


@pytest.mark.parametrize("top", TOP_PRIORS)
def test_all_layers_lead_to_the_logits_of_the_prior(top):
    prior = golden_priors(top)[Level.TOP]
    codes = torch.randint(64, (2, CONTEXT), generator=torch.Generator().manual_seed(4))
    labels = window_labels(
        prior.config, UNKNOWN_SONG, total_samples=180 * 44_100, offset_samples=0, start_token=3
    )
    rows = torch.tensor([labels, labels])
    conditioning = prior.condition(rows)
    states = prior.activations(codes, conditioning, prior.config.transformer.num_layers)
    logits = prior.logits_of(states, conditioning.position_embedding)
    wanted = prior(codes, rows).logits[:, prior.config.num_prefix_tokens :]
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("hop_fraction", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("num_tokens", [1, 30, 64, 65, 200])
def test_long_and_short_audio_is_read_window_by_window(vqvae, num_tokens, hop_fraction):
    prior = golden_priors("prior_5b_lyrics")[Level.TOP]
    audio = noise(num_tokens, seed=num_tokens)
    codes = vqvae.encode(audio[None, : num_tokens * HOP] / audio.abs().max())[Level.TOP][0]
    params = FeatureParams(layer=3, hop_fraction=hop_fraction, song_duration_sec=40.0)
    next_token = 0
    for window, states in iter_activations(vqvae, prior, audio, params):
        wanted = states_inside_forward(
            prior, codes[window.start : window.end], window.start, 40 * 44_100, 3
        )
        torch.testing.assert_close(states, wanted[window.num_prefix :], atol=1e-5, rtol=0)
        assert window.first_new == next_token
        next_token = window.end
    assert next_token == num_tokens


def test_audio_longer_than_the_imagined_song_makes_the_song_longer(vqvae):
    prior = golden_priors("prior_5b")[Level.TOP]
    long = noise(130)
    params = FeatureParams(layer=2, song_duration_sec=0.0)
    # 0.4 s of audio; the prior was trained on songs of 60 s and more.
    same = FeatureParams(layer=2, song_duration_sec=60.0)
    np.testing.assert_array_equal(
        extract_features(vqvae, prior, long, params).values,
        extract_features(vqvae, prior, long, same).values,
    )


@pytest.mark.parametrize("rate_hz", [344.53125, 344.5, 172.265625, 100.0, 7.3, 1.0, 0.01])
def test_a_target_rate_averages_the_tokens_that_begin_in_a_frame(vqvae, rate_hz):
    prior = golden_priors("prior_5b")[Level.TOP]
    audio = noise(333)
    every = extract_features(vqvae, prior, audio, FeatureParams(layer=2)).values
    slow = extract_features(vqvae, prior, audio, FeatureParams(layer=2, rate_hz=rate_hz))
    frames = [int(token * HOP / 44_100 * rate_hz + 1e-9) for token in range(333)]
    wanted = [every[np.array(frames) == f].mean(axis=0) for f in range(frames[-1] + 1)]
    np.testing.assert_allclose(slow.values, np.stack(wanted), atol=1e-5)
    assert slow.rate_hz == rate_hz


def test_the_mean_is_that_of_all_tokens(vqvae):
    prior = golden_priors("prior_1b_lyrics")[Level.TOP]
    audio = noise(150)
    every = extract_features(vqvae, prior, audio, FeatureParams(layer=5)).values
    mean = extract_features(vqvae, prior, audio, FeatureParams(layer=5, pool="mean"))
    np.testing.assert_allclose(mean.values, every.mean(axis=0, keepdims=True), atol=1e-6)
    assert mean.rate_hz is None
    assert mean.values.dtype == np.float32


def test_loudness_does_not_matter_unless_it_is_asked_for_and_silence_is_no_fault(vqvae):
    prior = golden_priors("prior_5b")[Level.TOP]
    params = FeatureParams(layer=1)
    loud, soft = (extract_features(vqvae, prior, noise(70) * by, params) for by in (1.0, 0.125))
    np.testing.assert_array_equal(loud.values, soft.values)
    raw = FeatureParams(layer=1, normalize=False)
    loud, soft = (extract_features(vqvae, prior, noise(70) * by, raw) for by in (3.0, 0.01))
    assert not np.array_equal(loud.values, soft.values)
    silence = extract_features(vqvae, prior, torch.zeros(HOP, 1), params)
    assert np.isfinite(silence.values).all()


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (FeatureParams(layer=0), "layers 1 to"),
        (FeatureParams(layer=80), "layer 80 is not there"),
        (FeatureParams(layer=1, rate_hz=345.0), "at most 344.5"),
        (FeatureParams(layer=1, rate_hz=0.0), "above 0"),
        (FeatureParams(layer=1, rate_hz=float("nan")), "above 0"),
        (FeatureParams(layer=1, rate_hz=5.0, pool="mean"), "one mean of everything has no rate"),
    ],
)
def test_what_cannot_be_given_is_refused_before_anything_is_computed(params, sentence):
    with pytest.raises(FeatureError, match=sentence):
        check_features(golden_priors("prior_5b")[Level.TOP], params)


def test_upsamplers_have_no_features_and_audio_must_be_audio(vqvae):
    priors = golden_priors("prior_5b")
    with pytest.raises(FeatureError, match="this is the middle one"):
        check_features(priors[Level.MIDDLE], FeatureParams(layer=1))
    for audio in (torch.zeros(0, 1), torch.zeros(HOP - 1, 1), torch.zeros(640), torch.zeros(9, 2)):
        with pytest.raises(AudioError):
            extract_features(vqvae, priors[Level.TOP], audio, FeatureParams(layer=1))
    with pytest.raises(SongError, match="hop"):
        extract_features(
            vqvae, priors[Level.TOP], noise(9), FeatureParams(layer=1, hop_fraction=0.001)
        )


@pytest.mark.hf
@pytest.mark.parametrize("kind", ["1b", "5b"])
@torch.no_grad()
def test_activations_are_those_of_transformers(kind, tmp_path):
    from jukebox_core.checkpoints import load_directory
    from tests.parity.transformers_models import build

    theirs = build(kind)
    theirs.save_pretrained(tmp_path, safe_serialization=False)
    ours = load_directory(tmp_path).priors[0]
    codes = torch.randint(48, (2, 64), generator=torch.Generator().manual_seed(5))
    labels = torch.tensor(
        window_labels(
            ours.config, UNKNOWN_SONG, total_samples=180 * 44_100, offset_samples=0, start_token=0
        )
    ).expand(2, -1)
    caught = {}
    prior = theirs.priors[0]
    for index, block in enumerate(prior.prior.transformer._attn_mods):
        block.register_forward_hook(
            lambda module, inputs, output, layer=index + 1: caught.update({layer: output})
        )
    audio, metadata, lyrics = prior.get_cond([], labels)
    if prior.is_encoder_decoder:
        tokens, audio = prior.prior_preprocess([lyrics, codes], [None, audio])
        prior.prior(tokens, audio, metadata)
    else:
        prior.prior(codes, audio, metadata, prior.get_encoder_states(lyrics))
    num_layers = ours.config.transformer.num_layers
    assert len(caught) == num_layers
    for layer in (1, num_layers // 2, num_layers):
        found = ours.activations(codes, ours.condition(labels), layer)
        wanted = caught[layer][:, ours.config.num_prefix_tokens :]
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


def test_several_layers_in_one_pass_are_what_each_gives_alone(vqvae):
    prior = golden_priors(TOP_PRIORS[0])[Level.TOP]
    audio = noise(2 * CONTEXT + 7)
    layers = (3, 1, prior.config.transformer.num_layers)
    passes = []
    hook = prior.transformer.layers[0].register_forward_hook(lambda *_: passes.append(1))
    try:
        found = extract_layers(vqvae, prior, audio, FeatureParams(layer=1, rate_hz=20.0), layers)
    finally:
        hook.remove()
    assert list(found) == list(layers)
    for layer in layers:
        alone = extract_features(vqvae, prior, audio, FeatureParams(layer=layer, rate_hz=20.0))
        np.testing.assert_array_equal(found[layer].values, alone.values)
        assert found[layer].rate_hz == alone.rate_hz == 20.0
    num_windows = len(list(iter_activations(vqvae, prior, audio, FeatureParams(layer=1))))
    assert len(passes) == num_windows > 2


def test_values_go_where_they_are_wanted_and_progress_ends_at_the_last_token(vqvae, tmp_path):
    prior = golden_priors(TOP_PRIORS[0])[Level.TOP]
    audio = noise(2 * CONTEXT)
    arrays, steps = {}, []

    def allocate(layer, shape):
        arrays[layer] = np.lib.format.open_memmap(
            tmp_path / f"{layer}.npy", mode="w+", dtype=np.float32, shape=shape
        )
        return arrays[layer]

    extract_layers(
        *(vqvae, prior, audio, FeatureParams(layer=1), (1, 2)),
        allocate=allocate,
        on_tokens=lambda done, total: steps.append((done, total)),
    )
    for layer in (1, 2):
        wanted = extract_features(vqvae, prior, audio, FeatureParams(layer=layer)).values
        np.testing.assert_array_equal(np.load(tmp_path / f"{layer}.npy"), wanted)
    assert steps[-1] == (2 * CONTEXT, 2 * CONTEXT)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def test_a_sound_shorter_than_one_token_is_told_in_seconds(vqvae):
    prior = golden_priors(TOP_PRIORS[0])[Level.TOP]
    with pytest.raises(AudioError, match=r"lasts 0\.000227 s .*one token takes 0\.0029 s"):
        extract_features(vqvae, prior, torch.ones(10, 1), FeatureParams(layer=1))


def resampled_by_definition(states: np.ndarray, num_frames: int) -> np.ndarray:
    """The band-limited periodic function through all states, at other places: sums of waves."""
    num_tokens = len(states)
    frequencies = np.fft.fftfreq(num_tokens, 1 / num_tokens).round().astype(int)
    highest = num_frames / 2
    tokens, frames = np.arange(num_tokens), np.arange(num_frames)
    found = np.zeros((num_frames, states.shape[1]))
    for frequency in frequencies[np.abs(frequencies) <= highest]:
        part = np.exp(-2j * np.pi * frequency * tokens / num_tokens) @ states / num_tokens
        wave = np.exp(2j * np.pi * frequency * frames / num_frames)
        found += (wave[:, None] * part).real
    return found


@pytest.mark.parametrize(
    ("num_tokens", "rate_hz"), [(64, 10.0), (63, 100.0), (40, 43.0), (50, 344)]
)
def test_resampling_by_fft_is_the_sum_of_the_slow_waves(vqvae, num_tokens, rate_hz):
    prior, audio = golden_priors("prior_5b")[Level.TOP], noise(num_tokens)
    states = extract_features(vqvae, prior, audio, FeatureParams(layer=3)).values
    params = FeatureParams(layer=3, rate_hz=rate_hz, resampling="fft")
    found = extract_features(vqvae, prior, audio, params)
    num_frames = int(np.ceil(num_tokens * (rate_hz / (44_100 / HOP))))
    assert found.values.dtype == np.float32
    assert found.rate_hz == rate_hz
    wanted = resampled_by_definition(states.astype(np.float64), num_frames)
    np.testing.assert_allclose(found.values, wanted, atol=1e-5)


def test_resampling_by_fft_takes_the_windows_of_longer_audio_as_one(vqvae):
    prior, audio = golden_priors("prior_5b")[Level.TOP], noise(3 * CONTEXT)
    states = extract_features(vqvae, prior, audio, FeatureParams(layer=2)).values
    params = FeatureParams(layer=2, rate_hz=30.0, resampling="fft")
    found = extract_features(vqvae, prior, audio, params).values
    wanted = resampled_by_definition(states.astype(np.float64), len(found))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_resampling_without_a_rate_is_refused():
    prior = golden_priors("prior_5b")[Level.TOP]
    with pytest.raises(FeatureError, match="needs a rate"):
        check_features(prior, FeatureParams(layer=1, resampling="fft"))
