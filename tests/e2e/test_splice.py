"""Songs put together from parts of others, through HTTP, with a real worker."""

import numpy as np
import pytest

from jukebox_core.sampling.infill import JOIN_SEC
from jukebox_core.units import Level
from tests.e2e.test_modes import SONG, TOP_TOKEN_SEC, codes_of, http, sound_of, sung

__all__ = ["http"]

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

PER_TOP = {"top": 1, "middle": 4, "bottom": 16}


def part(source, start, end, **more):
    moments = {"start_seconds": start * TOP_TOKEN_SEC, "end_seconds": end * TOP_TOKEN_SEC}
    return {"source": source["id"], **moments, **more}


def joined(pieces, level):
    ratio = PER_TOP[level]
    return np.concatenate(
        [codes[level][row, start * ratio : end * ratio] for codes, row, start, end in pieces]
    )[None]


def test_a_song_is_put_together_from_two_and_goes_on(http):
    one = sung(http, **SONG, duration_seconds=1.6, seed=1)
    two = sung(http, **{**SONG, "genre": "polka"}, duration_seconds=1.6, seed=2, num_samples=2)
    parts = [part(one, 0, 60), part(two, 10, 30, sample=1), part(one, 60, 100)]
    job = sung(http, mode="splice", parts=parts)
    first, second = codes_of(http, one), codes_of(http, two)
    pieces = [(first, 0, 0, 60), (second, 1, 10, 30), (first, 0, 60, 100)]
    found = codes_of(http, job)
    for level in PER_TOP:
        np.testing.assert_array_equal(found[level], joined(pieces, level))
    assert len(sound_of(http, job)) == 120 * 256
    # Nothing is heard of the parents' other parts: the sound is that of the codes.
    assert [output["duration_seconds"] for output in job["outputs"]] == [1.92] * 3
    onward = sung(http, mode="continue", parent_id=job["id"], duration_seconds=0.32)
    more = codes_of(http, onward)
    for level in PER_TOP:
        np.testing.assert_array_equal(more[level][:, : found[level].shape[1]], found[level])
        assert more[level].shape[1] == 140 * PER_TOP[level]
    assert np.array_equal(sound_of(http, onward)[:20_000], sound_of(http, job)[:20_000])


def test_drafts_are_joined_and_become_one_song_now_or_later(http):
    draft = {**SONG, "duration_seconds": 1.6, "levels": ["top"]}
    one, two = sung(http, **draft, seed=1), sung(http, **{**draft, "genre": "polka"}, seed=2)
    parts = [part(one, 20, 80), part(two, 0, 40)]
    at_once = sung(http, mode="splice", parts=parts, levels=["top", "middle", "bottom"], seed=5)
    joined_draft = sung(http, mode="splice", parts=parts)
    assert list(codes_of(http, joined_draft)) == ["top"]
    later = sung(http, mode="upsample", parent_id=joined_draft["id"], seed=5)
    found, again = codes_of(http, at_once), codes_of(http, later)
    for level in PER_TOP:
        np.testing.assert_array_equal(found[level], again[level])
        assert found[level].shape == (1, 100 * PER_TOP[level])


def test_a_mended_splice_is_another_one_around_its_joins_alone_and_can_be_edited_on(http):
    one = sung(http, **SONG, duration_seconds=3.2, seed=1)
    two = sung(http, **{**SONG, "genre": "polka"}, duration_seconds=3.2, seed=2)
    parts = [part(one, 0, 100), part(two, 60, 190)]
    plain = sung(http, mode="splice", parts=parts)
    mended = sung(http, mode="splice", parts=parts, mend_seconds=0.16, seed=3)
    before, after = codes_of(http, plain), codes_of(http, mended)
    np.testing.assert_array_equal(after["top"], before["top"])
    middle_sec = JOIN_SEC[Level.MIDDLE]
    behind_sec = {"middle": middle_sec, "bottom": middle_sec + JOIN_SEC[Level.BOTTOM]}
    for level, reach_sec in behind_sec.items():
        changed = np.flatnonzero(after[level][0] != before[level][0]) / PER_TOP[level]
        assert len(changed)
        assert 90 <= changed.min() < 100 < changed.max() < 110 + reach_sec / TOP_TOKEN_SEC
    samples = sound_of(http, mended), sound_of(http, plain)
    assert np.array_equal(samples[0][:15_000], samples[1][:15_000])
    assert not np.array_equal(samples[0][:26_000], samples[1][:26_000])
    section = {"start_seconds": 1.0, "end_seconds": 1.4}
    redone = sung(http, mode="redo", parent_id=mended["id"], **section, seed=4)
    again = codes_of(http, redone)
    np.testing.assert_array_equal(again["top"][:, :60], after["top"][:, :60])
    assert (again["top"] != after["top"]).any()
    assert redone["parent_ids"] == [mended["id"]]


def test_words_that_are_repeated_have_a_time_for_each_time_that_they_are_sung(http):
    one = sung(http, **{**SONG, "lyrics": "one two"}, duration_seconds=1.6, seed=1, levels=["top"])
    two = sung(http, **{**SONG, "lyrics": "three"}, duration_seconds=1.6, seed=2, levels=["top"])
    parts = [part(one, 0, 100), part(two, 0, 100), part(one, 0, 100)]
    job = sung(http, mode="splice", parts=parts)
    (first, second), third = (
        [http.get(each["urls"]["alignment"]).json() for each in (one, two)],
        http.get(job["urls"]["alignment"]).json(),
    )
    own = [word for times in (first, second, first) for word in times["words"]]
    assert [word["text"] for word in third["words"]] == [word["text"] for word in own]
    moved = [0.0] * 2 + [1.6] + [3.2] * 2
    for found, wanted, sec in zip(third["words"], own, moved, strict=True):
        if wanted["start_seconds"] is None:
            assert found["start_seconds"] is None
            continue
        assert found["start_seconds"] == pytest.approx(wanted["start_seconds"] + sec, abs=0.002)
    assert third["duration_seconds"] == pytest.approx(4.8)
