"""From a request to a job, without any server."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.submission.admission import admit
from api.web.errors import InvalidRequest
from jobs.record.job import Job, JobStatus, Stage
from jobs.record.request import MAX_SEED, JobRequest
from jukebox_core.models.catalog import ModelCard, read_card
from jukebox_core.units import Level

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def card(tiny_model_dir: Path) -> ModelCard:
    return read_card(tiny_model_dir)


def request(**changes: object) -> JobRequest:
    body = {"model": "tiny", "artist": "a", "genre": "b", "duration_seconds": 10.0, **changes}
    return JobRequest.model_validate(body)


def admitted(card: ModelCard, **changes: object) -> Job:
    return admit(request(**changes), card, now=NOW)


def refused(card: ModelCard, **changes: object) -> str:
    with pytest.raises(InvalidRequest) as caught:
        admitted(card, **changes)
    (error,) = caught.value.errors
    assert len(error.detail.split()) > 4
    return error.pointer


def test_a_new_job_waits_at_its_first_stage(card: ModelCard):
    job = admitted(card)
    assert (job.status, job.stage, job.created_at) == (JobStatus.QUEUED, Stage.TOP, NOW)
    assert job.fence == 0
    assert job.outputs == ()


def test_seed_and_song_duration_are_filled_in(card: ModelCard):
    wanted = admitted(card).request
    assert wanted.seed is not None
    assert 0 <= wanted.seed <= MAX_SEED
    assert wanted.song_duration_seconds is not None
    assert wanted.song_duration_seconds >= 10.0


def test_the_song_reaches_behind_what_is_drawn(card: ModelCard):
    wanted = admitted(card, offset_seconds=7.5).request
    assert wanted.song_duration_seconds is not None
    assert wanted.song_duration_seconds >= 17.5


def test_all_levels_cover_the_same_audio(card: ModelCard):
    plan = admitted(card, duration_seconds=9.99).plan
    assert len({level.tokens_total * level.samples_per_token for level in plan.values()}) == 1
    assert [plan[level].samples_per_token for level in ("top", "middle", "bottom")] == [
        card.config.vqvae.samples_per_token[level]
        for level in (Level.TOP, Level.MIDDLE, Level.BOTTOM)
    ]


def test_a_smaller_hop_makes_more_windows(card: ModelCard):
    whole = admitted(card, sampling={"top": {"hop_fraction": 1.0}}).plan["top"].windows_total
    half = admitted(card, sampling={"top": {"hop_fraction": 0.5}}).plan["top"].windows_total
    assert half > whole


def test_an_illegal_hop_is_found_at_its_level(card: ModelCard):
    sampling = {"middle": {"hop_fraction": 1e-6}}
    assert refused(card, sampling=sampling) == "/sampling/middle/hop_fraction"


def test_a_hop_of_a_level_that_is_not_drawn_does_not_matter(card: ModelCard):
    admitted(card, levels=["top"], sampling={"middle": {"hop_fraction": 1e-6}})


def test_a_song_may_be_short_and_draws_a_lead_out_then(card: ModelCard):
    plan = admitted(card, duration_seconds=0.1).plan
    assert [level.output_tokens for level in plan.values()] == [6, 24, 96]
    assert plan["top"].tokens_total > 6
    assert plan["middle"].tokens_total > 24
    assert plan["bottom"].tokens_total == 96
    assert admitted(card, duration_seconds=0.1, levels=["top"]).plan["top"].tokens_total == 6


def test_a_song_shorter_than_a_token_is_refused(card: ModelCard):
    assert refused(card, duration_seconds=0.015) == "/duration_seconds"


def test_a_song_of_the_usual_length_has_no_lead_out(card: ModelCard):
    assert all(
        level.output_tokens == level.tokens_total and level.prompt_tokens == 0
        for level in admitted(card).plan.values()
    )


def test_a_song_shorter_than_what_is_drawn_is_refused(card: ModelCard):
    pointer = refused(card, song_duration_seconds=9.0, duration_seconds=10.0)
    assert pointer == "/song_duration_seconds"


def test_sentences_use_the_words_of_the_request(card: ModelCard):
    with pytest.raises(InvalidRequest) as caught:
        admitted(card, duration_seconds=0.01)
    assert "duration_seconds=0.01" in caught.value.detail
    assert "_sec=" not in caught.value.detail


def test_unknown_names_are_admitted_and_said_to_be_unknown(card: ModelCard):
    labels = admitted(card, artist="Nobody").labels
    assert {level["artist"]["known"] for level in labels.values()} == {False}


def test_a_model_without_label_lists_resolves_nothing(card: ModelCard):
    bare = ModelCard(
        name="bare",
        directory=card.directory,
        config=card.config,
        tokenizer=None,
        num_bytes=0,
        description="",
        licence="",
    )
    assert admitted(bare).labels == {}
