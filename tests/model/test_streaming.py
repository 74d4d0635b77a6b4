"""Sound while a song is still being sampled: the same sound, its beginning long before its end."""

import pytest
import torch

from jukebox_core.errors import SongError
from jukebox_core.units import Level
from tests.parity.golden import labels_of_both_songs, model_with, top_seconds

WHOLE = 70  # top tokens: more than one window at every level
OPTIONS = {"seed": 7, "song_duration_sec": 62.0}


def model():
    return model_with("prior_5b_lyrics")


def labels():
    return labels_of_both_songs(model().tokenizer)


@pytest.mark.parametrize("speed", ["exact", "parallel"])
@pytest.mark.parametrize("num_top_tokens", [WHOLE, 10])
def test_early_sound_is_the_sound_of_the_whole(num_top_tokens, speed):
    duration_sec = top_seconds(num_top_tokens)
    options = {**OPTIONS, "speed": speed}
    codes = model().ancestral_sample(labels(), duration_sec=duration_sec, **options)
    pieces = model().iter_sound(labels(), duration_sec=duration_sec, **options)
    sound = torch.cat(list(pieces), dim=1)
    torch.testing.assert_close(sound, model().decode(codes), atol=1e-5, rtol=0)


def test_the_beginning_is_heard_before_the_levels_above_are_done():
    told = {}
    pieces = model().iter_sound(
        labels(),
        duration_sec=top_seconds(WHOLE),
        progress=lambda level, done, total: told.update({level: (done, total)}),
        **OPTIONS,
    )
    next(pieces)
    assert not torch.is_inference_mode_enabled()
    done, total = told[Level.MIDDLE]
    assert done < total
    assert len(list(pieces)) > 1


def test_what_is_kept_is_heard_first_and_the_rest_goes_on_from_it():
    duration_sec = top_seconds(WHOLE)
    whole = model().ancestral_sample(labels(), duration_sec=duration_sec, **OPTIONS)
    kept = [codes[:, : 20 * per_top] for codes, per_top in zip(whole, (1, 4, 16), strict=True)]
    pieces = model().iter_sound(labels(), codes=kept, duration_sec=duration_sec, **OPTIONS)
    sound = torch.cat(list(pieces), dim=1)
    continued = model().continue_sample(kept, labels(), duration_sec=duration_sec, **OPTIONS)
    torch.testing.assert_close(sound, model().decode(continued), atol=1e-5, rtol=0)


def test_what_cannot_be_sung_is_refused_before_the_first_piece():
    with pytest.raises(SongError, match="duration_sec"):
        model().iter_sound(labels(), duration_sec=0.0, **OPTIONS)
