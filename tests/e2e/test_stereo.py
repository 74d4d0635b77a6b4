"""Stereo through HTTP, with a real worker: drafts, songs, all formats, parts, sections."""

import io

import numpy as np
import pytest
import soundfile

from tests.e2e.test_modes import SONG, TOP_TOKEN_SEC, codes_of, http, sent, sound_of, sung

__all__ = ["http"]

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

TOTAL = 120
BODY = {**SONG, "duration_seconds": TOTAL * TOP_TOKEN_SEC, "seed": 1}


@pytest.fixture(scope="module")
def songs():
    return {}


@pytest.fixture
def both(http, songs):
    """A song in mono, and the same in stereo."""
    if not songs:
        songs["mono"] = sung(http, **BODY)
        songs["stereo"] = sung(http, **BODY, channels=2, audio_format="mp3")
    return songs["mono"], songs["stereo"]


def channels_of(codes, level):
    return np.split(codes[level], 2)


def test_the_left_channel_is_the_mono_song_and_the_right_one_is_not(http, both):
    mono, stereo = both
    old, new = codes_of(http, mono), codes_of(http, stereo)
    np.testing.assert_array_equal(new["top"], old["top"])
    for level in ("middle", "bottom"):
        left, right = channels_of(new, level)
        np.testing.assert_array_equal(left, old[level])
        assert not np.array_equal(right, left)
    sound = sound_of(http, stereo)
    np.testing.assert_array_equal(sound[:, 0], sound_of(http, mono))
    assert not np.array_equal(*sound.T)


@pytest.mark.parametrize("audio_format", ["flac", "ogg", "mp3"])
def test_every_format_sounds_like_the_song_in_both_channels(http, both, audio_format):
    wav = sound_of(http, both[1])
    response = http.get(both[1]["urls"]["audio"], params={"format": audio_format})
    sound, _ = soundfile.read(io.BytesIO(response.content))
    assert sound.shape[1] == 2
    for channel in range(2):
        loud = [np.sqrt((each[:, channel] ** 2).mean()) for each in (sound, wav)]
        assert loud[0] == pytest.approx(loud[1], rel=0.25)


def test_a_draft_is_the_same_in_both_channels_and_becomes_the_stereo_song(http, both):
    draft = sung(http, **BODY, levels=["top"], channels=2)
    left, right = sound_of(http, draft).T
    np.testing.assert_array_equal(left, right)
    song = sung(http, mode="upsample", parent_id=draft["id"], seed=1)
    assert song["input"]["channels"] == 2
    for level, rows in codes_of(http, both[1]).items():
        np.testing.assert_array_equal(codes_of(http, song)[level], rows)


def test_downloaded_codes_go_on_in_stereo(http, both):
    content = http.get(both[1]["urls"]["codes"]).content
    asset = sent(http, content, "song.safetensors")
    song = sung(
        http,
        mode="continue",
        prompt={"asset_id": asset["id"]},
        duration_seconds=0.5,
        **{name: SONG[name] for name in ("model", "artist", "genre")},
        num_samples=2,
    )
    old, new = codes_of(http, both[1]), codes_of(http, song)
    assert [len(new[level]) for level in ("top", "middle", "bottom")] == [2, 4, 4]
    for level in ("middle", "bottom"):
        for channel, rows in enumerate(channels_of(new, level)):
            assert len(rows) == 2
            for row in rows:
                np.testing.assert_array_equal(row[: old[level].shape[1]], old[level][channel])


def test_a_part_in_stereo_makes_a_splice_stereo_and_mono_parts_serve_both_channels(http, both):
    mono, stereo = both
    cut = 40
    parts = [
        {"source": mono["id"], "start_seconds": 0.0, "end_seconds": cut * TOP_TOKEN_SEC},
        {"source": stereo["id"], "start_seconds": cut * TOP_TOKEN_SEC},
    ]
    song = sung(http, mode="splice", parts=parts)
    assert song["input"]["channels"] == 2
    assert {output["channels"] for output in song["outputs"]} == {2}
    new, old, given = (codes_of(http, each) for each in (song, mono, stereo))
    for level, per_top in (("middle", 4), ("bottom", 16)):
        for channel, rows in enumerate(channels_of(new, level)):
            np.testing.assert_array_equal(rows[0, : cut * per_top], old[level][0, : cut * per_top])
            rest = given[level][channel, cut * per_top :]
            np.testing.assert_array_equal(rows[0, cut * per_top :], rest)
    narrow = sung(http, mode="splice", parts=parts, channels=1)
    for level, rows in codes_of(http, narrow).items():
        np.testing.assert_array_equal(rows, new[level][:1])


def test_a_mended_splice_is_mended_in_both_channels(http, both):
    parts = [
        {"source": both[1]["id"], "start_seconds": 0.0, "end_seconds": 60 * TOP_TOKEN_SEC},
        {"source": both[1]["id"], "start_seconds": 20 * TOP_TOKEN_SEC},
    ]
    plain = codes_of(http, sung(http, mode="splice", parts=parts))
    mended = codes_of(http, sung(http, mode="splice", parts=parts, mend_seconds=0.3))
    for level in ("middle", "bottom"):
        assert plain[level].shape == mended[level].shape
        for before, after in zip(plain[level], mended[level], strict=True):
            assert not np.array_equal(before, after)
