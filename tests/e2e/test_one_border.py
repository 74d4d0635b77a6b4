"""What the API plans when it accepts a song is what a worker generates, in every mode."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import numpy as np
import pytest

from jobs.record.job import Job, Stage
from jobs.record.songs import plan_job
from jukebox_core.models.catalog import read_card
from tests.api.conftest import Service, serving, song
from tests.api.sounds import encoded, sent, tone
from worker.app import build_parts
from worker.parts import WorkerParts
from worker.settings import WorkerSettings
from worker.song.generate import SongGenerator
from worker.tasks import run_song

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def service(clean_redis_url: str, models_dir: Path, tmp_path: Path) -> AsyncIterator[Service]:
    async with serving(clean_redis_url, models_dir, tmp_path) as service:
        yield service


@pytest.fixture
def worker(service: Service, models_dir: Path) -> Iterator[WorkerParts]:
    parts = build_parts(
        WorkerSettings(
            redis_url=service.redis_url,
            data_dir=service.data_dir,
            models_dir=models_dir,
            device="cpu",
            worker_name="me",
        )
    )
    parts.engine.start()
    yield parts
    parts.engine.stop()
    parts.engine.join(60)


class Border:
    """Posts to the API, lets the worker generate, and compares the two."""

    def __init__(self, service: Service, worker: WorkerParts, monkeypatch: pytest.MonkeyPatch):
        self.service, self.worker = service, worker
        self.plans: list[Any] = []
        begin = SongGenerator.__init__

        def spy(drawer: SongGenerator, parts: Any, lease: Any, song: Any, **given: Any) -> None:
            self.plans.append(song.plan)
            begin(drawer, parts, lease, song, **given)

        monkeypatch.setattr(SongGenerator, "__init__", spy)

    async def passes(self, **body: Any) -> Job:
        """Everything that the API promised is what the worker did; returns the ended job."""
        response = await self.service.client.post("/jobs", json=body)
        assert response.status_code == 202, response.text
        promised = self.service.store.get(response.json()["id"])
        levels = response.json()["progress"]["levels"]
        await anyio.to_thread.run_sync(run_song, self.worker, promised.id, Stage.TOP)
        job = self.service.store.get(promised.id, with_windows=True)
        assert job.error is None
        assert [level["tokens_total"] for level in levels] == [
            plan.tokens_total for plan in promised.plan.values()
        ]
        self._assert_generated_as_planned(promised, job)
        return job

    def _assert_generated_as_planned(self, promised: Job, job: Job) -> None:
        config = read_card(self.worker.settings.models_dir / job.request.model).config
        generated = self.plans.pop()
        assert generated == plan_job(promised, config).plan
        codes = self.service.artifacts.read_all_codes(job.id, job.codes_name or "")
        assert list(codes) == list(promised.plan)
        for level, plan in promised.plan.items():
            files = job.codes_of(level)
            places = [place for file in files for place in range(file.start, file.end)]
            assert len(files) == plan.windows_total
            assert places == list(range(plan.prompt_tokens, plan.tokens_total)) or not files
            assert job.progress[level].tokens_done == plan.tokens_total
            assert codes[level].shape == (job.request.num_samples, plan.output_tokens)
        seconds = {output.duration_sec for output in job.outputs}
        (longest,) = seconds
        assert longest == pytest.approx(job.duration_sec, abs=256 / 16_000)


@pytest.fixture
def border(service: Service, worker: WorkerParts, monkeypatch: pytest.MonkeyPatch) -> Border:
    return Border(service, worker, monkeypatch)


@pytest.mark.parametrize(
    "changes",
    [
        {"duration_seconds": 1.3},
        {"duration_seconds": 1.3, "num_samples": 2, "offset_seconds": 3.7},
        {"duration_seconds": 2.1, "speed": "parallel"},
        {"duration_seconds": 0.25},
        {"duration_seconds": 0.25, "levels": ["top", "middle"]},
        {"duration_seconds": 1.9, "levels": ["top"]},
        {"duration_seconds": 1.3, "sampling": {"top": {"hop_fraction": 0.25}}},
    ],
    ids=["whole", "takes", "parallel", "short", "short middle", "draft", "hop"],
)
async def test_a_song_from_nothing_is_generated_as_it_was_accepted(border: Border, changes):
    await border.passes(**song(**changes))


@pytest.mark.parametrize("speed", ["exact", "parallel"])
async def test_a_song_from_a_recording_is_generated_as_it_was_accepted(border: Border, speed):
    asset = await sent(border.service, encoded(tone(0.7)))
    prompt = {"asset_id": asset["id"], "start_seconds": 0.1}
    job = await border.passes(
        **song(mode="primed", prompt=prompt, duration_seconds=1.7, speed=speed)
    )
    assert job.plan["top"].prompt_tokens == 37


async def test_what_goes_on_from_a_job_is_generated_as_it_was_accepted(border: Border):
    parent = await border.passes(**song(duration_seconds=1.1, num_samples=2))
    child = await border.passes(
        mode="continue", parent_id=parent.id, duration_seconds=0.4, sample=1, cut_seconds=0.6
    )
    assert child.plan["bottom"].prompt_tokens == 37 * 16
    assert child.duration_sec > 0.9
    begun = border.service.artifacts.read_all_codes(parent.id, parent.codes_name or "")
    goes_on = border.service.artifacts.read_all_codes(child.id, child.codes_name or "")
    np.testing.assert_array_equal(goes_on["bottom"][0, :592], begun["bottom"][1, :592])


@pytest.mark.parametrize("duration_sec", [1.2, 0.2])
async def test_a_draft_is_upsampled_as_it_was_accepted(border: Border, duration_sec):
    draft = await border.passes(**song(duration_seconds=duration_sec, levels=["top"]))
    job = await border.passes(mode="upsample", parent_id=draft.id, speed="parallel")
    assert job.plan["top"].prompt_tokens == job.plan["top"].output_tokens
