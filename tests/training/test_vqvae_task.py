"""Training one level of a codec."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from jukebox_core.checkpoints.load import load_vqvae_of
from jukebox_core.errors import TrainingError
from jukebox_core.training.codec.crops import Crops
from jukebox_core.training.codec.data_init import scale_decoder, scale_encoder
from jukebox_core.training.codec.fast_codec import decode_fast, encode_fast
from jukebox_core.training.codec.settings import VQVAELevelSettings
from jukebox_core.training.dataset.data import TrainingData
from jukebox_core.training.dataset.sung_vowels import UNKNOWN_VOWEL, sung_vowels
from jukebox_core.training.loop import train
from jukebox_core.training.settings import TrainingSettings
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from tests.training.codec_runs import CODEC, codec_task, write_tones, write_untrained


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    return write_tones(tmp_path_factory.mktemp("tones") / "songs")


@pytest.fixture(scope="module")
def vqvae():
    torch.manual_seed(0)
    return JukeboxVQVAE(CODEC).eval()


def short_run(**changes):
    values = {"steps": 2, "batch_size": 2, "warmup_steps": 0, "evaluate_every": 0, "threads": 1}
    return TrainingSettings(**(values | changes))


@pytest.mark.parametrize("level", list(Level))
def test_the_fast_order_of_the_layers_gives_the_same_numbers(vqvae, level):
    hop = CODEC.samples_per_token[level]
    audio = torch.randn(2, 1, 12 * hop)
    vectors = vqvae.encoders[level](audio)
    torch.testing.assert_close(encode_fast(vqvae.encoders[level], audio), vectors)
    torch.testing.assert_close(
        decode_fast(vqvae.decoders[level], vectors), vqvae.decoders[level](vectors)
    )


def test_the_fast_order_gives_the_same_gradients(vqvae):
    encoder, decoder = vqvae.encoders[Level.MIDDLE], vqvae.decoders[Level.MIDDLE]
    audio = torch.randn(1, 1, 512)
    parameters = [*encoder.parameters(), *decoder.parameters()]

    def gradients(encode, decode):
        rendered = decode(encode(audio))
        return torch.autograd.grad((rendered * audio).sum(), parameters)

    slow = gradients(encoder, decoder)
    fast = gradients(lambda x: encode_fast(encoder, x), lambda x: decode_fast(decoder, x))
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_scaled_weights_keep_the_size_of_the_signal(vqvae):
    level, audio = Level.TOP, 0.1 * torch.randn(4, 1, 4096)
    vectors = scale_encoder(vqvae.encoders[level], audio)
    torch.testing.assert_close(vqvae.encoders[level](audio), vectors, rtol=1e-3, atol=1e-3)
    assert vectors.std(dim=(0, 2)).tolist() == pytest.approx([1] * CODEC.embedding_width, rel=0.02)
    rendered = scale_decoder(vqvae.decoders[level], vectors, deviation=0.1)
    torch.testing.assert_close(vqvae.decoders[level](vectors), rendered, rtol=1e-3, atol=1e-3)
    assert rendered.std().item() == pytest.approx(0.1, rel=0.02)


def test_each_token_gets_the_vowel_that_is_sung_at_its_middle(songs):
    song = TrainingData(songs, 16_000).songs()[0]
    vowels = sung_vowels(song, 160)  # tokens of a hundredth of a second
    assert vowels.tolist() == [0] * 5 + [1] * 15 + [0] * 10 + [2] * 15 + [0] * 5


def test_without_times_no_vowel_is_known_and_an_instrumental_has_none(songs):
    song = TrainingData(songs, 16_000).songs()[0]
    assert set(sung_vowels(replace(song, character_times=None), 160)) == {UNKNOWN_VOWEL}
    assert set(sung_vowels(replace(song, character_times=None, lyrics=""), 160)) == {0}


def test_pieces_follow_from_the_step_and_lie_on_tokens(songs):
    data = TrainingData(songs, 16_000)
    crops = Crops(
        data.songs(), crop_samples=2048, samples_per_token=16, artists=["ann"], genres=["hum"]
    )
    batch, again, other = crops.batch(4, 0, 1), crops.batch(4, 0, 1), crops.batch(4, 0, 2)
    assert torch.equal(batch["audio"], again["audio"])
    assert not torch.equal(batch["audio"], other["audio"])
    assert batch["audio"].shape == (4, 2048)
    assert batch["vowels"].shape == (4, 128)
    assert set(batch["artist"].tolist()) <= {0, UNKNOWN_VOWEL}
    piece = batch["audio"][0].numpy()
    assert any(
        np.array_equal(piece, song.audio(start, 2048))
        for song in data.songs()
        for start in range(0, song.num_samples - 2047, 16)
    )


def test_a_song_shorter_than_a_piece_ends_in_silence(songs):
    data = TrainingData(songs, 16_000)
    crops = Crops(data.songs(), crop_samples=16_384, samples_per_token=256, artists=[], genres=[])
    batch = crops.batch(2, 0)
    assert batch["audio"][:, 8000:].abs().max() == 0
    assert batch["audio"][:, :8000].abs().max() > 0.2
    assert batch["vowels"].shape == (2, 64)


def test_pieces_are_whole_tokens(songs):
    with pytest.raises(TrainingError, match="2,000 samples"):
        Crops(
            TrainingData(songs, 16_000).songs(),
            crop_samples=2000,
            samples_per_token=256,
            artists=[],
            genres=[],
        )


def test_the_loss_is_the_weighted_sum_of_its_parts(songs, tmp_path):
    weights = VQVAELevelSettings(
        crop_samples=2048, l1_weight=0.3, linf_weight=0.5, log_magnitude_weight=0.7, genre_weight=2
    )
    task = codec_task(songs, tmp_path, short_run(), level_settings=weights)
    loss, parts = task.loss(task.batch(0, 0, 0))
    expected = (
        CODEC.commit_weight * parts["commit"]
        + 0.3 * parts["l1"]
        + parts["l2"]
        + 0.5 * parts["linf"]
        + parts["multispectral"]
        + 0.7 * parts["log_magnitude"]
        + 2 * parts["genre"]
    )
    torch.testing.assert_close(loss, expected)


def test_gradients_pass_the_codebook_straight_through(songs, tmp_path):
    task = codec_task(songs, tmp_path, short_run())
    output = task.modules(task.batch(0, 0, 0)["audio"])
    torch.testing.assert_close(output.passed, output.quantized)
    (gradient,) = torch.autograd.grad((output.passed * 3).sum(), output.vectors)
    assert (gradient == 3).all()


@pytest.mark.nightly("learning")
def test_a_codec_learns_a_few_songs_by_heart(tmp_path):
    songs = write_tones(tmp_path / "songs", num_held_out=0)
    plan = short_run(steps=150, batch_size=4, learning_rate=3e-3, warmup_steps=10)
    write_untrained(tmp_path / "model")
    task = codec_task(songs, tmp_path / "model", plan)
    result = train(task, plan, tmp_path / "run")
    assert result.evaluation["snr_db"] > 6
    assert result.evaluation["codes_used"] > 40
    assert result.evaluation["artist_accuracy"] > 0.7


def test_levels_are_written_beside_each_other(songs, tmp_path):
    model_dir = write_untrained(tmp_path / "model")
    trained = {}
    for level in (Level.BOTTOM, Level.TOP):
        task = codec_task(songs, model_dir, short_run(), level=level)
        train(task, short_run(), tmp_path / level.label)
        trained[level] = task.modules.eval()
    vqvae = load_vqvae_of(model_dir)
    audio = torch.randn(1, 4096) * 0.1
    for level, module in trained.items():
        output = module(audio)
        (codes,) = vqvae.encode(audio[:, :, None], level, level + 1)
        assert (codes == output.codes).float().mean() > 0.99  # near ties may fall elsewhere
        rendered = vqvae.decode([output.codes], level)[:, :, 0]
        torch.testing.assert_close(rendered, output.rendered, rtol=1e-3, atol=1e-4)


@pytest.mark.nightly("learning")
def test_codes_may_be_directions_in_few_dimensions(tmp_path):
    codec = replace(CODEC, codebook_width=4)
    songs = write_tones(tmp_path / "songs", num_held_out=0)
    model_dir = write_untrained(tmp_path / "model", codec)
    plan = short_run(steps=150, batch_size=4, learning_rate=3e-3, warmup_steps=10)
    task = codec_task(songs, model_dir, plan, codec=codec)
    result = train(task, plan, tmp_path / "run")
    assert result.evaluation["snr_db"] > 5
    assert result.evaluation["codes_used"] > 40
    vqvae = load_vqvae_of(model_dir)
    lengths = vqvae.codebooks[Level.BOTTOM].codes.norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    audio = task.batch(0, 0, 0)["audio"]
    (codes,) = vqvae.encode(audio[:, :, None], 0, 1)
    rendered = vqvae.decode([codes])[:, :, 0]
    torch.testing.assert_close(rendered, task.modules.eval()(audio).rendered, rtol=1e-3, atol=1e-3)


def test_checkpointing_gradients_changes_no_loss(songs, tmp_path):
    losses = []
    for checkpointing in (False, True):
        plan = short_run(gradient_checkpointing=checkpointing)
        task = codec_task(songs, tmp_path, plan)
        task.export = lambda modules: None
        losses.append(train(task, plan, tmp_path / str(checkpointing)).loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_samples_lie_beside_the_truth(songs, tmp_path):
    task = codec_task(songs, tmp_path, short_run())
    task.modules.eval()
    with torch.no_grad():
        task.write_samples(1, tmp_path)
    assert {file.name for file in tmp_path.glob("*.wav")} == {"0_bottom.wav", "0_true.wav"}
