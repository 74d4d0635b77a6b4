"""Songs in stereo: those of the library, in one file of two channels, whatever happens."""

import numpy as np
import pytest
import soundfile

from jobs.record.job import JobStatus
from jukebox_core.codes_file import read_codes_file
from tests.worker.jobs_and_processes import (
    Alone,
    assert_song,
    decode_alone,
    random_codes,
    recording,
    sing_alone,
)

pytestmark = pytest.mark.redis

PER_TOP = {"top": 1, "middle": 4, "bottom": 16}


def sound_of(service, job, level, sample=0):
    (output,) = [o for o in job.outputs if (o.level, o.sample) == (level, sample)]
    sound, _ = soundfile.read(service.artifacts.path(job.id, output.name), dtype="float32")
    assert sound.shape[1:] == (() if output.channels == 1 else (output.channels,))
    return sound


def test_a_stereo_song_is_the_librarys_and_its_left_channel_is_the_mono_song(served, models_dir):
    mono = served.wait_end(served.post(num_samples=2))
    job = served.wait_end(served.post(num_samples=2, channels=2))
    alone = Alone(models_dir, job)
    assert_song(served, job, alone.ancestral())
    assert "channel" not in served.store.get(mono.id).request.model_dump_json(exclude_defaults=True)
    codes, mono_codes = served.codes(job), served.codes(mono)
    np.testing.assert_array_equal(codes["top"], mono_codes["top"])
    for level in ("middle", "bottom"):
        left, right = np.split(codes[level], 2)
        np.testing.assert_array_equal(left, mono_codes[level])
        assert not np.array_equal(left, right)
        for sample in range(2):
            sound = sound_of(served, job, level, sample)
            for channel, rows in enumerate((left, right)):
                expected = decode_alone(models_dir, rows[sample : sample + 1], level)[0]
                np.testing.assert_allclose(sound[:, channel], expected, atol=2 / 2**15)
            np.testing.assert_array_equal(sound[:, 0], sound_of(served, mono, level, sample))
    for sample in range(2):
        sound = sound_of(served, job, "top", sample)
        for channel in range(2):
            np.testing.assert_array_equal(sound[:, channel], sound_of(served, mono, "top", sample))


def test_each_channel_may_have_a_genre_of_its_own(served, models_dir):
    plain = served.wait_end(served.post(channels=2))
    job = served.wait_end(served.post(channels=2, stereo_genres={"right": "polka"}))
    assert_song(served, job, Alone(models_dir, job).ancestral())
    for level, same in (("top", [True]), ("middle", [True, False]), ("bottom", [True, False])):
        pairs = zip(served.codes(job)[level], served.codes(plain)[level], strict=True)
        assert [np.array_equal(*pair) for pair in pairs] == same, level


@pytest.mark.parametrize("audio_format", ["flac", "ogg", "mp3"])
def test_every_format_has_both_channels(served, audio_format):
    job = served.wait_end(served.post(channels=2, audio_format=audio_format))
    name = job.outputs[-1].name.replace(".wav", f".{audio_format}")
    sound, _ = soundfile.read(served.artifacts.path(job.id, name), dtype="float32")
    wav = sound_of(served, job, "bottom")
    assert sound.shape[1] == 2
    if audio_format == "flac":
        np.testing.assert_array_equal(sound, wav)
    assert abs(np.corrcoef(*wav.T)[0, 1]) < 0.999


def take_of(codes, take, num_takes, num_top):
    return {
        level: rows[take::num_takes, : num_top * PER_TOP[level]] for level, rows in codes.items()
    }


def test_one_take_of_a_stereo_song_goes_on_in_stereo(served, models_dir):
    parent = served.wait_end(served.post(num_samples=2, channels=2))
    codes = served.codes(parent)
    begun = take_of(codes, 1, 2, 50)
    job = served.wait_end(
        served.post(
            mode="continue",
            codes=begun,
            parent=parent,
            sample=1,
            duration_seconds=1.9,
            num_samples=2,
            channels=2,
        )
    )
    alone = Alone(models_dir, job)
    keep_sec = 50 * 256 / 16_000
    assert_song(served, job, alone.continued(codes, row=1, keep_sec=keep_sec))
    sung = served.codes(job)
    for level, rows in begun.items():
        for take in range(2):
            np.testing.assert_array_equal(sung[level][take::2, : rows.shape[1]], rows)
    first, second = (sound_of(served, job, "bottom", sample) for sample in range(2))
    parents = sound_of(served, parent, "bottom", 1)
    kept = 40 * 256
    np.testing.assert_allclose(first[:kept], parents[:kept], atol=2 / 2**15)
    np.testing.assert_allclose(second[:kept], parents[:kept], atol=2 / 2**15)


def test_a_mono_draft_becomes_a_stereo_song(served, models_dir):
    draft = served.wait_end(served.post(levels=("top",), num_samples=2))
    codes = served.codes(draft)
    job = served.wait_end(
        served.post(mode="upsample", codes=codes, parent=draft, num_samples=2, channels=2)
    )
    assert_song(served, job, Alone(models_dir, job).upsampled(codes))
    whole = served.wait_end(served.post(num_samples=2, channels=2))
    assert_song(served, job, served.codes(whole))


def test_a_mono_beginning_is_the_same_in_both_channels(served, models_dir):
    begun = random_codes(2, top=60, middle=240, bottom=960)
    job = served.wait_end(
        served.post(mode="continue", codes=begun, num_samples=2, duration_seconds=1.2, channels=2)
    )
    assert_song(served, job, Alone(models_dir, job).continued(begun))
    for level in ("middle", "bottom"):
        left, right = np.split(served.codes(job)[level], 2)
        np.testing.assert_array_equal(left[:, : 60 * PER_TOP[level]], begun[level])
        np.testing.assert_array_equal(right[:, : 60 * PER_TOP[level]], begun[level])
        assert not np.array_equal(left, right)


def test_a_recording_begins_both_channels(served):
    job = served.wait_end(
        served.post(
            mode="primed", recording=recording(0.7), duration_seconds=1.5, num_samples=2, channels=2
        )
    )
    assert job.status is JobStatus.SUCCEEDED, job.error
    for level in ("middle", "bottom"):
        num_given = job.plan[level].prompt_tokens
        rows = served.codes(job)[level]
        assert len(rows) == 4
        assert (rows[:, :num_given] == rows[0, :num_given]).all()
        assert len({row[num_given:].tobytes() for row in rows}) == 4


def test_a_stereo_draft_is_one_sound_on_both_sides(served, models_dir):
    job = served.wait_end(served.post(levels=("top",), channels=2))
    assert_song(served, job, sing_alone(models_dir, job))
    assert len(served.codes(job)["top"]) == 1
    left, right = sound_of(served, job, "top").T
    np.testing.assert_array_equal(left, right)


def test_the_codes_of_both_channels_are_one_file_that_the_library_reads(served, models_dir):
    job = served.wait_end(served.post(num_samples=2, channels=2))
    codes = read_codes_file(served.artifacts.path(job.id, job.codes_name))
    assert {level: len(rows) for level, rows in codes.items()} == {
        "top": 2,
        "middle": 4,
        "bottom": 4,
    }
