"""The times of the lyrics: those of the library, written once, and never worth a song."""

import json
import threading

import pytest
import torch

from jobs.errors import ArtifactNotFound
from jobs.files.artifacts import alignment_name
from jobs.record.job import JobStatus, Stage
from jukebox_core.alignment.formats import to_json
from jukebox_core.alignment.times import lyric_times
from tests.worker.jobs_and_processes import Alone, replaced, run_stage

pytestmark = pytest.mark.redis

TOKENS_PER_SECOND = 16_000 / 256


def times_of(service, job, sample=0):
    path = service.artifacts.path(job.id, alignment_name(sample))
    return path.read_text(encoding="utf-8")


def times_alone(models_dir, job, top_codes):
    """As `JukeboxModel.align` gives them, which holds the whole alignment."""
    alone = Alone(models_dir, job)
    song = alone.song
    (labels,) = alone.labels.for_level(2)
    text = alone.model.tokenizer.alphabets["v3"].decode(labels.lyric_ids)
    alignments = alone.model.align(
        torch.as_tensor(top_codes),
        alone.labels,
        song_duration_sec=song.song_duration_sec,
        offset_sec=song.offset_sec,
    )
    return [
        to_json(lyric_times(alignment.numpy(), text, tokens_per_second=TOKENS_PER_SECOND))
        for alignment in alignments
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        {"duration_seconds": 1.3, "num_samples": 2},
        {"duration_seconds": 9.0, "lyrics": "La, la, la. " * 20, "offset_seconds": 3.0},
        {"duration_seconds": 0.3, "levels": ("top", "middle")},  # with a lead-out
    ],
)
def test_the_lyrics_have_the_times_that_the_library_finds(service, worker, models_dir, wanted):
    job = service.admit(**({"levels": ("top",)} | wanted))
    run_stage(worker, job.id, Stage.TOP)
    now = service.store.get(job.id, with_windows=True)
    expected = times_alone(models_dir, now, service.codes(now)["top"])
    assert len(expected) == job.request.num_samples
    for sample, times in enumerate(expected):
        assert times_of(service, now, sample) == times
    assert json.loads(expected[0])["characters"]


def test_the_times_outlive_the_end_of_the_job(service, worker):
    job = service.admit(levels=("top",))
    run_stage(worker, job.id, Stage.TOP)
    times = times_of(service, job)
    run_stage(worker, job.id, Stage.RENDER)
    assert service.store.get(job.id).status is JobStatus.SUCCEEDED
    assert times_of(service, job) == times


def test_an_instrumental_has_no_times(service, worker):
    job = service.admit(levels=("top",), lyrics="\N{SNOWMAN}")
    run_stage(worker, job.id, Stage.TOP)
    assert service.store.get(job.id).stage is Stage.RENDER
    with pytest.raises(ArtifactNotFound):
        times_of(service, job)


def test_times_that_are_there_are_not_read_off_again(service, worker, monkeypatch):
    job = service.admit(levels=("top",), num_samples=2)
    _stop_after_the_first_sample(worker, job, monkeypatch)
    first = service.artifacts.path(job.id, alignment_name(0))
    first.write_text("as the first worker left it")
    run_stage(worker, job.id, Stage.TOP)
    assert first.read_text() == "as the first worker left it"
    assert json.loads(times_of(service, job, 1))["characters"]


def _stop_after_the_first_sample(worker, job, monkeypatch):
    drained = replaced(worker, draining=threading.Event())
    new_file = worker.artifacts.new_file

    def write_and_drain(job_id, name, **options):
        if name == alignment_name(0):
            drained.draining.set()
        return new_file(job_id, name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(worker.artifacts, "new_file", write_and_drain)
        run_stage(drained, job.id, Stage.TOP)


def test_old_times_do_not_outlive_new_codes(service, worker):
    job = service.admit(levels=("top",))
    with service.artifacts.new_file(job.id, alignment_name(0)) as path:
        path.write_text("of codes that were lost")
    run_stage(worker, job.id, Stage.TOP)
    assert json.loads(times_of(service, job))["characters"]


def test_a_device_too_small_for_the_times_still_sings_the_song(
    service, worker, monkeypatch, caplog
):
    def fill_up(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("worker.song.lyric_timing.iter_alignment", fill_up)
    job = service.admit(levels=("top",))
    run_stage(worker, job.id, Stage.TOP)
    run_stage(worker, job.id, Stage.RENDER)
    assert service.store.get(job.id).status is JobStatus.SUCCEEDED
    assert "the lyrics have no times" in caplog.text
    with pytest.raises(ArtifactNotFound):
        times_of(service, job)
