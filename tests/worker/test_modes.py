"""Songs that begin with something, and songs shorter than a window: those of the library."""

import numpy as np
import pytest
import soundfile

from jobs.record.job import Stage
from jukebox_core.audio import read_audio
from tests.worker.jobs_and_processes import Alone, assert_song, random_codes, recording

pytestmark = pytest.mark.redis

LEVELS = ["top", "middle", "bottom"]
PER_TOP = {"top": 1, "middle": 4, "bottom": 16}


def cut(codes, num_top, row=None):
    rows = slice(None) if row is None else slice(row, row + 1)
    return {level: array[rows, : num_top * PER_TOP[level]] for level, array in codes.items()}


def assert_begins_with(found, codes):
    for level, kept in codes.items():
        begun = found[level][:, : kept.shape[1]]
        np.testing.assert_array_equal(begun, np.broadcast_to(kept, begun.shape))


def test_a_song_from_a_recording_is_the_librarys_and_keeps_the_recordings_codes(served, models_dir):
    job_id = served.post(
        mode="primed", recording=recording(0.7), duration_seconds=1.5, num_samples=2
    )
    job = served.wait_end(job_id)
    alone = Alone(models_dir, job)
    prompt = read_audio(served.artifacts.path(job.id, "prompt.wav"), sample_rate_hz=16_000)[None]
    assert_song(served, job, alone.primed(prompt))
    whole = prompt[:, : prompt.shape[1] // 256 * 256]
    codes = [stream.numpy() for stream in reversed(alone.model.vqvae.encode(whole))]
    kept = dict(zip(LEVELS, codes, strict=True))
    assert_begins_with(served.codes(job), kept)
    recorded = served.artifacts.read_all_codes(job.id, job.prompt_codes_name)
    for level in LEVELS:
        np.testing.assert_array_equal(recorded[level], kept[level])
        assert job.plan[level].prompt_tokens == kept[level].shape[1]
        assert job.progress[level].tokens_done == job.plan[level].tokens_total
        assert job.progress[level].windows_done == job.plan[level].windows_total


def test_one_chosen_take_goes_on_as_in_the_library(served, models_dir):
    parent = served.wait_end(served.post(num_samples=2))
    codes = served.codes(parent)
    job_id = served.post(
        mode="continue",
        codes=cut(codes, 50, row=1),
        sample=1,
        duration_seconds=1.9,
        num_samples=2,
        genre="polka",
    )
    job = served.wait_end(job_id)
    keep_sec = 50 * 256 / 16_000
    expected = Alone(models_dir, job).continued(codes, row=1, keep_sec=keep_sec)
    assert_song(served, job, expected)
    assert_begins_with(served.codes(job), cut(codes, 50, row=1))
    assert not np.array_equal(*served.codes(job)["bottom"]), "two takes, each with its own chance"


def test_the_same_seed_and_words_go_on_as_if_never_cut(served, models_dir):
    whole = served.wait_end(served.post(levels=("top",), duration_seconds=2.0))
    begun = cut(served.codes(whole), 40)
    job = served.wait_end(
        served.post(mode="continue", codes=begun, levels=("top",), duration_seconds=2.0)
    )
    assert_song(served, job, served.codes(whole))


def test_every_take_goes_on_by_itself(served, models_dir):
    begun = random_codes(3, top=60, middle=240)
    job = served.wait_end(
        served.post(mode="continue", codes=begun, num_samples=3, duration_seconds=1.2)
    )
    assert_song(served, job, Alone(models_dir, job).continued(begun))
    assert_begins_with(served.codes(job), begun)


def test_upsampling_a_draft_draws_nothing_of_its_top(served, models_dir):
    draft = random_codes(1, top=75)
    rates = served.store.rates("tiny")
    job_id = served.post(
        mode="upsample",
        codes=draft,
        duration_seconds=75 * 256 / 16_000,
        artist="",
        artist_id={"v2": 3, "v3": 4},
        genre_ids={"v2": [1, 2], "v3": [6]},
    )
    job = served.wait_end(job_id)
    assert_song(served, job, Alone(models_dir, job).upsampled(draft))
    assert_begins_with(served.codes(job), draft)
    assert job.codes_of("top") == ()
    assert (job.metrics["top"].seconds, job.metrics["top"].tokens_per_second) == (0.0, 0.0)
    assert job.progress["top"].tokens_done == 75
    assert served.store.rates("tiny").get(Stage.TOP) == rates.get(Stage.TOP)
    assert {output.level for output in job.outputs} == set(LEVELS)


@pytest.mark.parametrize("levels", [("top", "middle"), ("top", "middle", "bottom")])
def test_a_short_song_is_the_librarys_and_nobody_hears_its_lead_out(served, models_dir, levels):
    job = served.wait_end(served.post(duration_seconds=0.25, levels=levels, num_samples=2))
    assert_song(served, job, Alone(models_dir, job).ancestral())
    num_top = 15  # 0.25 s are 15 whole tokens of 256 samples
    for level, codes in served.codes(job).items():
        assert codes.shape == (2, num_top * PER_TOP[level])
        assert job.progress[level].tokens_done == job.plan[level].tokens_total
    assert job.plan["top"].tokens_total == 64 > job.plan["top"].output_tokens == num_top
    assert job.codes_of("top")[-1].end == 64, "the level below needs what is not heard"
    for output in job.outputs:
        sound, rate_hz = soundfile.read(served.artifacts.path(job.id, output.name))
        assert len(sound) == num_top * 256
        assert output.duration_sec == len(sound) / rate_hz


def test_a_short_draft_is_upsampled_under_a_lead_out_of_its_own(served, models_dir):
    draft = random_codes(1, top=20)
    job = served.wait_end(
        served.post(mode="upsample", codes=draft, duration_seconds=20 * 256 / 16_000)
    )
    assert_song(served, job, Alone(models_dir, job).upsampled(draft))
    assert_begins_with(served.codes(job), draft)
    assert [(file.start, file.end) for file in job.codes_of("top")] == [(20, 64)]


def test_a_song_with_nothing_left_to_draw_passes_through_all_stages(served):
    whole = random_codes(2, top=70, middle=280, bottom=1120)
    job = served.wait_end(
        served.post(mode="upsample", codes=whole, duration_seconds=70 * 256 / 16_000, num_samples=2)
    )
    assert_song(served, job, whole)
    assert job.codes == ()
    assert len(job.outputs) == 6
