"""What priors are told about songs in parts: each part's labels, at a place that they know."""

from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.labels import SongLabels, window_labels
from jukebox_core.sampling.label_spans import make_span, span_at
from jukebox_core.units import Level
from tests.sampling.models import model_config

CONFIG = model_config()


def labels(artist_id):
    return (SongLabels(artist_id=artist_id, genre_ids=(1,)),) * 3


def span(start_samples, artist_id=0, *, song_duration_sec=20.0, offset_sec=0.0):
    return make_span(
        CONFIG,
        (labels(artist_id),),
        start_samples=start_samples,
        song_duration_sec=song_duration_sec,
        offset_sec=offset_sec,
    )


def test_a_part_holds_from_where_it_begins_to_where_the_next_one_does():
    spans = [span(0, 1), span(1000, 2), span(5000, 3)]
    found = [span_at(spans, place) for place in (0, 999, 1000, 4999, 5000, 10**9)]
    assert [each.channels[0][0].artist_id for each in found] == [1, 1, 2, 2, 3, 3]


@given(
    song_duration_sec=st.floats(0.0, 700.0),
    offset_sec=st.floats(-700.0, 700.0),
    start_token=st.integers(0, 100_000),
    level=st.sampled_from(list(Level)),
)
def test_no_window_is_told_a_place_that_a_prior_does_not_know(
    song_duration_sec, offset_sec, start_token, level
):
    found = span(0, song_duration_sec=song_duration_sec, offset_sec=offset_sec)
    prior = CONFIG.prior(level)
    timing = found.timing_for(prior, start_token)
    place = timing.offset_samples + start_token * prior.samples_per_token
    assert 0 <= place < timing.total_samples
    if prior.labels is not None:
        known_samples = prior.labels.max_duration_sec * prior.sample_rate_hz
        assert place + prior.context_samples <= max(known_samples, prior.context_samples)
    window_labels(
        prior,
        labels(0)[0],
        total_samples=timing.total_samples,
        offset_samples=timing.offset_samples,
        start_token=start_token,
    )


def test_a_place_inside_the_imagined_song_is_told_as_it_is():
    prior = CONFIG.prior(Level.MIDDLE)
    found = span(0, offset_sec=3.0).timing_for(prior, 10)
    assert found.offset_samples == 3 * prior.sample_rate_hz
