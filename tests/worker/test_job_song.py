"""What a worker makes of a record, whoever wrote it."""

import json
from dataclasses import replace

import pytest

from jobs.record.codec import job_from_fields, job_to_fields
from jobs.record.songs import plan_job
from jukebox_core.config import Weights
from jukebox_core.labels import LyricAlphabet
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.sampling.windows import plan_windows
from jukebox_core.units import Level
from tests.worker.jobs_and_processes import make_job
from worker.song.job_song import JobSong


@pytest.mark.parametrize(
    ("recorded", "read"),
    [
        ("there\ris", "thereis"),
        ("[Verse]\v[00:12.00]Hello", "[Verse][00:12.00]Hello"),
        ("there\nis", "there\nis"),
    ],
)
def test_recorded_lyrics_are_read_as_the_release_that_recorded_them_read_them(
    models_dir, recorded, read
):
    """Text is cleaned before it is recorded; songs of older releases go on with what they had."""
    catalog = ModelCatalog(models_dir)
    card = catalog.get("tiny")
    song = JobSong.from_job(
        make_job(catalog, lyrics=recorded), card.config, card.tokenizer, "torch", Weights.FULL
    )
    (labels,) = song.labels.for_level(Level.TOP)
    version = card.config.prior(Level.TOP).labels.version
    assert LyricAlphabet(version).decode(labels.lyric_ids) == read


def recorded(job):
    """A job as it is read again; its windows are elsewhere."""
    return replace(job_from_fields(job_to_fields(job)), codes=job.codes)


def test_a_parallel_song_goes_on_in_the_segments_that_its_record_has(models_dir):
    catalog = ModelCatalog(models_dir)
    config = catalog.get("tiny").config
    job = recorded(make_job(catalog, speed="parallel", duration_seconds=8.0))
    assert job_to_fields(job)["format"] == "3"
    middle = job.plan["middle"]
    assert len(middle.segments) > 1
    # Another release, or another processor, might have cut it elsewhere.
    moved = replace(middle, segments=(middle.segments[0], (1000, 900)))
    job = recorded(replace(job, plan=job.plan | {"middle": moved}))
    first, second = plan_job(job, config).plan.levels[Level.MIDDLE].segments
    assert (first.end, second.start, second.warm_up_tokens) == (1000, 1000, 100)


def test_a_parallel_song_from_before_segments_were_recorded_goes_on_as_it_began(models_dir):
    """Then the windows of the exact song were dealt out: the warm-ups are half of each."""
    catalog = ModelCatalog(models_dir)
    config = catalog.get("tiny").config
    fields = job_to_fields(make_job(catalog, speed="parallel", duration_seconds=8.0))
    plan = json.loads(fields["plan"])
    for level in plan.values():
        del level["segments"]
    plan_now = plan_job(job_from_fields(fields | {"plan": json.dumps(plan)}), config).plan
    for level in (Level.MIDDLE, Level.BOTTOM):
        level_plan, prior = plan_now.levels[level], config.prior(level)
        hop = prior.context_tokens // 2
        assert level_plan.windows == plan_windows(
            level_plan.total_tokens, prior.context_tokens, hop
        )
        assert 1 < len(level_plan.segments) <= 8
        assert {each.warm_up_tokens for each in level_plan.segments[1:-1]} <= {hop}


def test_an_exact_song_needs_no_newer_release(models_dir):
    job = make_job(ModelCatalog(models_dir), duration_seconds=8.0)
    assert job_to_fields(job)["format"] == "1"
    assert not any(plan.segments for plan in job.plan.values())
