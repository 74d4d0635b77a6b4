"""Sections that are sampled again, through HTTP, with a real worker."""

import numpy as np
import pytest
from safetensors.numpy import save

from tests.e2e.test_modes import SONG, TOP_TOKEN_SEC, codes_of, http, sent, sound_of, sung

__all__ = ["http"]

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

PER_TOP = {"top": 1, "middle": 4, "bottom": 16}
TOTAL, FIRST, END = 400, 100, 160
SECTION = {"start_seconds": FIRST * TOP_TOKEN_SEC, "end_seconds": END * TOP_TOKEN_SEC}


@pytest.fixture(scope="module")
def songs():
    return {}


@pytest.fixture
def song(http, songs):
    """Two takes of 6.4 seconds."""
    if "song" not in songs:
        body = {**SONG, "duration_seconds": TOTAL * TOP_TOKEN_SEC, "seed": 1, "num_samples": 2}
        songs["song"] = sung(http, **body)
    return songs["song"]


def assert_same_outside(job, new, old, per_token, end):
    """New and old [n]: the same but for the section and the stated margin, where they differ."""
    section = job["section"]
    margin = section["margin_seconds"] / TOP_TOKEN_SEC * per_token
    first, last = round(FIRST * per_token - margin), round(END * per_token + margin)
    assert len(new) == len(old) == end
    np.testing.assert_array_equal(new[: max(first, 0)], old[: max(first, 0)])
    np.testing.assert_array_equal(new[last:], old[last:])
    assert last < end, "or nothing behind the section was compared"
    inside = slice(FIRST * per_token, END * per_token)
    assert (new[inside] != old[inside]).any()


def test_codes_and_sound_outside_the_section_and_its_margin_are_the_parents_to_the_bit(http, song):
    job = sung(http, mode="redo", parent_id=song["id"], sample=1, num_samples=3, **SECTION, seed=2)
    assert job["section"]["start_seconds"] == pytest.approx(1.6)
    assert job["section"]["end_seconds"] == pytest.approx(2.56)
    assert (job["parent_id"], job["root_id"]) == (song["id"], song["id"])
    assert job["duration_seconds"] == song["duration_seconds"]
    new, old = codes_of(http, job), codes_of(http, song)
    for level, per_top in PER_TOP.items():
        for take in range(3):
            assert_same_outside(job, new[level][take], old[level][1], per_top, TOTAL * per_top)
            np.testing.assert_array_equal(
                new[level][take][: FIRST * per_top], old[level][1][: FIRST * per_top]
            )
    for level in PER_TOP:
        before = sound_of(http, song, level=level, sample=1)
        for take in range(3):
            after = sound_of(http, job, level=level, sample=take)
            assert_same_outside(job, after, before, 256, TOTAL * 256)
    assert (new["top"][0] != new["top"][1]).any(), "takes differ"


def test_the_same_seed_gives_the_same_section_whatever_is_drawn_beside_it(http, song):
    body = {"mode": "redo", "parent_id": song["id"], "sample": 0, **SECTION, "seed": 5}
    one, two = sung(http, **body), sung(http, **body, num_samples=2)
    codes, more = codes_of(http, one), codes_of(http, two)
    for level in PER_TOP:
        np.testing.assert_array_equal(codes[level][0], more[level][0])
    assert np.array_equal(sound_of(http, one), sound_of(http, two))
    again = sung(http, **{**one["input"], "num_samples": 1})
    assert np.array_equal(sound_of(http, one), sound_of(http, again))


def test_a_redone_song_goes_on_is_cut_and_is_redone_again(http, song):
    redone = sung(http, mode="redo", parent_id=song["id"], sample=0, **SECTION, genre="polka")
    codes = codes_of(http, redone)
    onward = sung(http, mode="continue", parent_id=redone["id"], duration_seconds=0.32)
    more = codes_of(http, onward)
    for level, per_top in PER_TOP.items():
        np.testing.assert_array_equal(more[level][:, : TOTAL * per_top], codes[level])
    assert np.array_equal(sound_of(http, onward)[:60_000], sound_of(http, redone)[:60_000])
    parts = [
        {"source": redone["id"], "start_seconds": 1.6, "end_seconds": 2.56},
        {"source": song["id"], "start_seconds": 0.0, "end_seconds": 1.6},
    ]
    cut = codes_of(http, sung(http, mode="splice", parts=parts))
    np.testing.assert_array_equal(cut["bottom"][0, : 60 * 16], codes["bottom"][0, 1600:2560])
    twice = sung(http, mode="redo", parent_id=redone["id"], start_seconds=4.8, lyrics="la la la")
    assert twice["root_id"] == song["id"]
    assert "la la la" in twice["lyrics_as_read"]
    assert twice["section"]["end_seconds"] == pytest.approx(6.4)
    last = codes_of(http, twice)
    for level, per_top in PER_TOP.items():
        np.testing.assert_array_equal(
            last[level][:, : 300 * per_top], codes[level][:, : 300 * per_top]
        )
        assert last[level].shape == codes[level].shape


def test_a_section_of_a_draft_or_of_uploaded_codes_is_redone_and_upsampled(http):
    body = {**SONG, "duration_seconds": 1.6, "levels": ["top"]}
    draft = sung(http, **body, seed=1)
    redone = sung(http, mode="redo", parent_id=draft["id"], start_seconds=0.32, end_seconds=0.64)
    assert list(codes_of(http, redone)) == ["top"]
    song = codes_of(http, sung(http, mode="upsample", parent_id=redone["id"]))
    np.testing.assert_array_equal(song["top"], codes_of(http, redone)["top"])
    assert song["bottom"].shape == (1, 1600)
    asset = sent(http, save({"top": codes_of(http, draft)["top"]}), "codes.safetensors")
    prompt = {**SONG, "prompt": {"asset_id": asset["id"]}, "lyrics": "new words"}
    levels = ["top", "middle", "bottom"]
    other = sung(http, **prompt, mode="redo", start_seconds=0.32, end_seconds=0.64, levels=levels)
    codes = codes_of(http, other)
    np.testing.assert_array_equal(codes["top"][:, :20], codes_of(http, draft)["top"][:, :20])
    assert codes["bottom"].shape == (1, 1600)
    assert other["lyrics_as_read"] == "new words"


def test_a_section_of_a_stereo_song_is_redone_in_both_channels(http):
    body = {**SONG, "duration_seconds": 4.8, "seed": 1, "channels": 2}
    song = sung(http, **body)
    job = sung(http, mode="redo", parent_id=song["id"], **SECTION, seed=2)
    assert job["outputs"][-1]["channels"] == 2
    new, old = codes_of(http, job), codes_of(http, song)
    sound, before = sound_of(http, job), sound_of(http, song)
    assert sound.shape == before.shape == (300 * 256, 2)
    for channel in range(2):
        for stream, parent, per_top in (
            (new["bottom"][channel], old["bottom"][channel], 16),
            (sound[:, channel], before[:, channel], 256),
        ):
            assert_same_outside(job, stream, parent, per_top, 300 * per_top)
