"""What a worker makes of a record, whoever wrote it."""

import pytest

from jukebox_core.labels import LyricAlphabet
from jukebox_core.models.catalog import ModelCatalog
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
        make_job(catalog, lyrics=recorded), card.config, card.tokenizer, "torch"
    )
    (labels,) = song.labels.for_level(Level.TOP)
    version = card.config.prior(Level.TOP).labels.version
    assert LyricAlphabet(version).decode(labels.lyric_ids) == read
