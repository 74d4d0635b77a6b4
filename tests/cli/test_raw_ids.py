import pytest

from cli.errors import UsageError
from cli.raw_ids import artist_id, genre_ids


@pytest.mark.parametrize(
    ("text", "meant"),
    [(None, None), ("7", 7), ("v2=7", {"v2": 7}), ("v2=7,v3=0", {"v2": 7, "v3": 0})],
)
def test_an_artist_is_one_number_or_one_for_each_list(text, meant):
    assert artist_id(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"), [(None, None), ("3+5", [3, 5]), ("v2=3+5,v3=40", {"v2": [3, 5], "v3": [40]})]
)
def test_genres_are_numbers_or_some_for_each_list(text, meant):
    assert genre_ids(text) == meant


@pytest.mark.parametrize(
    "text", ["", "seven", "-1", "v4=7", "v2=7,v2=8", "7,8", "v2", "=7", "v2=7,8", "9" * 5000]
)
def test_what_is_no_number_is_refused_by_name(text):
    with pytest.raises(UsageError, match=r"^--artist-id "):
        artist_id(text)
    with pytest.raises(UsageError, match=r"^--genre-ids "):
        genre_ids(text)


def test_a_song_has_one_artist():
    with pytest.raises(UsageError, match="a song has one"):
        artist_id("3+5")
