"""The prior at its borders: sizes of the released models, attention records, refusals."""

import dataclasses

import pytest
import torch

from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.label_embedding import LabelEmbedding
from tests.prior.golden import config_of, expected, golden_prior, upper_codes


@pytest.mark.parametrize(
    ("model", "index", "num_parameters"),
    [
        ("5b", 0, 5_060_452_800),
        ("5b_lyrics", 0, 5_640_506_800),
        ("1b_lyrics", 0, 942_643_200),
        ("5b_lyrics", 1, 981_298_176),
        ("5b_lyrics", 2, 981_298_176),
    ],
)
def test_the_released_architectures_have_the_released_sizes(model, index, num_parameters):
    with torch.device("meta"):
        prior = JukeboxPrior(released_config(model).priors[index])
    assert sum(weight.numel() for weight in prior.parameters()) == num_parameters


def test_tied_priors_store_one_table():
    assert "logits.weight" not in golden_prior("upsampler_level_0").state_dict()
    assert "logits.weight" in golden_prior("prior_5b").state_dict()


@pytest.mark.parametrize("name", ["prior_5b_lyrics", "prior_1b_lyrics"])
def test_the_alignment_layer_shows_where_the_music_looks_in_the_lyrics(name):
    prior, golden = golden_prior(name), expected()
    lyrics = prior.config.lyrics
    codes, labels = golden[f"{name}.z_0"], golden[f"{name}.y_0"]
    output = prior(codes, labels, record_attention=lyrics.alignment_layer)
    start = prior.config.num_prefix_tokens
    weights = output.attention[:, lyrics.alignment_head, start:, : lyrics.num_tokens]
    assert weights.shape == (2, 64, lyrics.num_tokens)
    assert weights.min() >= 0
    assert weights.sum(-1).max() <= 1 + 1e-5


@pytest.mark.parametrize("name", ["prior_5b_lyrics", "prior_1b_lyrics"])
def test_the_attention_of_one_layer_is_that_of_a_whole_pass_to_the_bit(name):
    prior, golden = golden_prior(name), expected()
    codes, labels = golden[f"{name}.z_0"], golden[f"{name}.y_0"]
    for layer in range(prior.config.transformer.num_layers):
        whole = prior(codes, labels, record_attention=layer).attention
        assert prior.attention_of_window(codes, labels, layer).equal(whole)


@pytest.mark.parametrize("num_tokens", [1, 15, 16, 37, 63])
@pytest.mark.parametrize("name", ["prior_5b_lyrics", "prior_1b_lyrics"])
def test_what_follows_a_window_that_is_not_full_changes_nothing_of_its_attention(name, num_tokens):
    prior, golden = golden_prior(name), expected()
    lyrics, start = prior.config.lyrics, prior.config.num_prefix_tokens
    codes, labels = golden[f"{name}.z_0"].clone(), golden[f"{name}.y_0"]
    codes[:, num_tokens:] = 0
    layer = lyrics.alignment_layer
    whole = prior.attention_of_window(codes, labels, layer)[:, :, start:, : lyrics.num_tokens]
    short = prior.attention_of_window(codes[:, :num_tokens], labels, layer)
    torch.testing.assert_close(
        short[:, :, start:, : lyrics.num_tokens], whole[:, :, :num_tokens], atol=1e-6, rtol=1e-5
    )


def test_a_window_has_codes_and_no_more_than_fit():
    prior, golden = golden_prior("prior_1b_lyrics"), expected()
    codes, labels = golden["prior_1b_lyrics.z_0"], golden["prior_1b_lyrics.y_0"]
    for wrong in (codes[:, :0], torch.cat((codes, codes[:, :1]), dim=1)):
        with pytest.raises(ValueError, match=f"holds 1 to 64 codes, and got {wrong.shape[1]}"):
            prior.attention_of_window(wrong, labels, 0)


@pytest.mark.parametrize("name", ["prior_5b_lyrics", "prior_1b_lyrics"])
def test_the_alignment_head_has_the_attention_of_the_original(name):
    # The first window of a drawn song: where windows overlap, the original keeps the earlier one.
    prior, golden = golden_prior(name), expected()
    lyrics, start = prior.config.lyrics, prior.config.num_prefix_tokens
    codes, labels = golden[f"{name}.sample_2"][:, :64], golden[f"{name}.y_0"]
    output = prior(codes, labels, record_attention=lyrics.alignment_layer)
    weights = output.attention[:, lyrics.alignment_head, start:, : lyrics.num_tokens]
    # Song 1 sings "short": five characters behind eleven of padding.
    torch.testing.assert_close(
        weights[1, :, -5:], golden[f"{name}.align_1"][:64], atol=1e-5, rtol=0
    )


def test_an_unknown_artist_counts_and_an_empty_genre_place_does_not():
    prior, golden = golden_prior("prior_5b"), expected()
    labels = golden["prior_5b.y_0"][:1].clone()
    labels[:, 3:] = torch.tensor([[0, 0, -1, -1, -1, -1]])
    tables = prior.labels
    want = tables.artist.weight[0] + tables.genre.weight[0]
    torch.testing.assert_close(prior.condition(labels).start_embedding[0], want)


def test_the_relative_position_stops_at_the_end_of_the_song():
    prior = golden_prior("prior_5b")
    total, context = 2_734_200, prior.config.context_samples
    labels = torch.tensor([[total, total - context // 2, context, 0, 0, -1, -1, -1, -1]])
    time = prior.condition(labels).position_embedding
    assert time.isfinite().all()
    assert time.shape == (1, 64, 24)


@pytest.mark.parametrize(
    ("song_tokens", "start", "stretched"), [(40, 0, True), (64, 0, False), (200, 136, False)]
)
def test_exact_positions_say_where_a_song_ends_within_its_window(song_tokens, start, stretched):
    config = config_of("prior_5b")
    exact = dataclasses.replace(config.labels, exact_positions=True)
    tokens, bins = config.context_tokens, config.labels.num_time_bins
    samples = config.samples_per_token
    labels = torch.tensor([[song_tokens * samples, start * samples, tokens * samples]])
    found = []
    for told in (config.labels, exact):
        embedding = LabelEmbedding(config, told)
        for table in (embedding.total_length, embedding.absolute_position):
            torch.nn.init.zeros_(table.weight)
        torch.nn.init.constant_(embedding.relative_position.weight, 0.0)
        embedding.relative_position.weight.data[:, 0] = torch.arange(bins)
        found.append(embedding.time(labels)[0, :, 0])
    places = (torch.arange(tokens) + start) / song_tokens
    torch.testing.assert_close(found[1], (places * bins).floor().clamp(max=bins - 1))
    assert (not torch.equal(found[0], found[1])) == stretched


def test_a_character_drawn_by_mistake_is_fed_back_but_returned_as_code_zero():
    prior = golden_prior("prior_1b_lyrics")
    assert prior.to_codes(torch.tensor([0, 78, 79, 80])).tolist() == [0, 0, 0, 1]
    assert prior.codes_to_ids(torch.tensor([0, 1])).tolist() == [79, 80]


def test_a_prior_without_labels_begins_with_a_learned_token():
    config = dataclasses.replace(config_of("upsampler_level_1"), labels=None)
    prior = JukeboxPrior(config)
    upper = torch.zeros(2, 16, dtype=torch.int64)
    conditioning = prior.condition(torch.zeros(2, 0, dtype=torch.int64), upper)
    assert conditioning.start_embedding.equal(prior.start_token.expand(2, -1))


def test_a_prior_can_be_trained():
    prior = JukeboxPrior(config_of("prior_5b_lyrics"))
    golden = expected()
    output = prior(golden["prior_5b_lyrics.z_0"], golden["prior_5b_lyrics.y_0"])
    output.loss.backward()
    idle = [key for key, weight in prior.named_parameters() if weight.grad is None]
    assert idle == []


def test_wrong_shapes_are_refused_with_what_was_found_and_wanted():
    prior, golden = golden_prior("upsampler_level_1"), expected()
    codes, labels = golden["upsampler_level_1.z_0"], golden["upsampler_level_1.y_0"]
    upper = upper_codes("upsampler_level_1", 0)
    with pytest.raises(ValueError, match=r"needs 16 codes of the level above, and got 0"):
        prior(codes, labels)
    with pytest.raises(ValueError, match=r"needs 16 codes of the level above, and got 12"):
        prior(codes, labels, upper[:, :12])
    with pytest.raises(ValueError, match=r"\[B, 9\] for this prior, not \(2, 8\)"):
        prior(codes, labels[:, :8], upper)
    with pytest.raises(ValueError, match="holds 64 codes, and got 60"):
        prior(codes[:, :60], labels, upper)
    cache, conditioning = prior.allocate_cache(2), prior.condition(labels, upper)
    with pytest.raises(ValueError, match="leave nothing to draw"):
        prior.prefill(codes, conditioning, cache, torch.arange(2))
