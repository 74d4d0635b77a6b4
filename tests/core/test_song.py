import pytest

from jukebox_core.errors import SongError
from jukebox_core.song import SamplingParams, Song
from jukebox_core.units import Level


def make_song(**changes) -> Song:
    values = {"artist": "a", "genre": "g", "duration_sec": 1.0, "song_duration_sec": 2.0}
    return Song(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"levels": (Level.MIDDLE,)}, "levels"),
        ({"levels": (Level.TOP, Level.BOTTOM)}, "levels"),
        ({"levels": ()}, "levels"),
        ({"num_samples": 0}, "num_samples"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"offset_sec": -0.1}, "offset_sec"),
    ],
)
def test_a_song_names_the_field_at_fault(changes, field):
    with pytest.raises(SongError) as caught:
        make_song(**changes)
    assert caught.value.field == field


def test_a_draft_is_the_top_alone():
    assert make_song(levels=(Level.TOP,)).levels == (Level.TOP,)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_p": 1.5}, "top_p"),
        ({"hop_fraction": 0.0}, "hop_fraction"),
    ],
)
def test_sampling_that_makes_no_sense_is_refused(changes, field):
    with pytest.raises(SongError) as caught:
        SamplingParams(**changes)
    assert caught.value.field == field
