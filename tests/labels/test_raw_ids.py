import json

import pytest

from jukebox_core.errors import LabelError
from tests.labels.golden import golden_tokenizer

MIXED = golden_tokenizer("prior_1b_lyrics")  # v3 at the top, v2 below
V2 = golden_tokenizer("prior_5b_lyrics")


def test_an_id_takes_the_place_of_a_name():
    labels = V2("nobody", "noise", "la", artist_id=145, genre_ids=[2, 8])
    assert [(song.artist_id, song.genre_ids) for song in labels.songs[0]] == [(145, (2, 8))] * 3
    assert labels.songs[0] == V2("Alan Jackson", "Blues Rock", "la").songs[0]


def test_an_id_alone_leaves_the_other_name_in_force():
    song = V2("Alan Jackson", "noise", genre_ids=(2,)).songs[0][0]
    assert (song.artist_id, song.genre_ids) == (145, (2,))


def test_a_resolution_by_id_says_whose_it_is_and_is_ready_for_json():
    resolved = V2.resolve("nobody", "noise", artist_id=145, genre_ids=[2, 8])["top"]
    assert resolved["artist"] == {"name": "alan_jackson", "id": 145, "known": True}
    assert [genre["name"] for genre in resolved["genres"]] == ["blues", "rock"]
    assert json.loads(json.dumps(resolved)) == resolved
    assert V2("nobody", "noise", artist_id=145, genre_ids=[2, 8]).resolution[0]["top"] == resolved


def test_an_id_without_a_name_can_be_sung():
    """The v2 table has two rows more than its list has ids."""
    assert V2.resolve("", "", artist_id=4110)["top"]["artist"] == {
        "name": "#4110",
        "id": 4110,
        "known": True,
    }


def test_id_0_is_nobody():
    assert V2.resolve("Alan Jackson", "", artist_id=0)["top"]["artist"]["known"] is False


def test_ids_of_one_version_leave_the_names_of_the_other_in_force():
    top, middle, bottom = MIXED("Céline Dion", "Blues", artist_id={"v2": 145}).songs[0]
    assert (top.artist_id, middle.artist_id, bottom.artist_id) == (5220, 145, 145)
    by_id = MIXED("a", "b", artist_id={"v2": 145, "v3": 6785}, genre_ids={"v2": [2], "v3": [236]})
    assert [song.artist_id for song in by_id.songs[0]] == [6785, 145, 145]
    assert [song.genre_ids for song in by_id.songs[0]] == [(236,), (2,), (2,)]


@pytest.mark.parametrize("ids", [{"artist_id": 145}, {"genre_ids": [2]}])
def test_one_number_that_means_two_names_is_refused(ids):
    with pytest.raises(LabelError, match=r'give \{"v2": \.\.\., "v3": '):
        MIXED.resolve("a", "b", **ids)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ({"artist_id": -1}, "artist_id: -1 is not among the v2 ids 0 to 4110"),
        ({"artist_id": 4111}, "artist_id: 4111 is not among the v2 ids 0 to 4110"),
        ({"genre_ids": [1, 120]}, "genre_ids: 120 is not among the v2 ids 0 to 119"),
        ({"genre_ids": [-1]}, "genre_ids: -1 is not among the v2 ids 0 to 119"),
        ({"genre_ids": []}, "0 genre_ids for v2, whose priors read 1 to 5"),
        ({"genre_ids": [1, 2, 3, 4, 5, 6]}, "6 genre_ids for v2, whose priors read 1 to 5"),
    ],
)
def test_an_id_that_the_model_has_not_is_refused(ids, message):
    for read in (V2, V2.resolve):
        with pytest.raises(LabelError, match=message):
            read("a", "b", **ids)


def test_v3_reads_one_genre():
    with pytest.raises(LabelError, match="2 genre_ids for v3, whose priors read 1 to 1"):
        MIXED.resolve("a", "b", genre_ids={"v3": [1, 2]})


def test_several_genres_of_a_text_are_several_ids():
    assert V2("a", "Blues, Rock").songs[0][0].genre_ids == (2, 8)
