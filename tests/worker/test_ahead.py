"""Levels drawn before their stage: kept like others, found by whoever comes next, the same song."""

import threading
from datetime import UTC, datetime

import pytest

from jobs.record.job import JobStatus, Stage
from jobs.store import Claim
from jukebox_core.engine.overlap import OverlapMode, RowBudget
from jukebox_core.errors import CheckpointError
from jukebox_core.units import Level
from tests.worker.jobs_and_processes import (
    assert_codes,
    assert_song,
    freezing,
    replaced,
    run_stage,
    running_worker,
    sing_alone,
)
from worker.device.works import Drawing
from worker.tasks import run_song

pytestmark = pytest.mark.redis

SONG_SEC = 20.0
"""Nine windows of the top: those of the middle begin after the first of them."""
TWO = ("top", "middle")
AHEAD = {"JUKEBOX_TUNING": "reaper_sec=0.3,overlap=on"}


@pytest.fixture
def eager(worker):
    """A worker that draws ahead whatever it costs what is due."""
    return replaced(worker, row_budget=RowBudget(OverlapMode.ON, max_rows=1))


class AtRecord:
    """Calls `act` when so many windows of a level are on record, while the job is at a stage."""

    def __init__(self, worker, *, level, stage=Stage.TOP, after=1, act):
        self.jobs_then, self._act = [], act
        self._record, self._level, self._stage, self._left = None, level, stage, after
        self._store = worker.store
        self._record, worker.store.record_window = worker.store.record_window, self

    def __call__(self, claim, file):
        self._record(claim, file)
        if file.level != self._level or self._stage not in (None, claim.job.stage):
            return
        self._left -= 1
        if self._left == 0:
            self.jobs_then.append(self._store.get(claim.job.id, with_windows=True))
            self._act()


def test_lower_levels_are_drawn_while_the_top_is_and_it_is_the_same_song(
    service, eager, models_dir
):
    job = service.admit(duration_seconds=SONG_SEC / 2, num_samples=2)
    seen = AtRecord(eager, level="bottom", stage=None, act=lambda: None)
    run_song(eager, job.id, Stage.TOP)
    (then,) = seen.jobs_then
    assert not {output.level for output in then.outputs} & {"middle", "bottom"}
    assert len(then.codes_of("middle")) < job.plan["middle"].windows_total
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))
    assert ended.fence == 1
    assert {output.level for output in ended.outputs} == {"top", "middle", "bottom"}
    for level, plan in job.plan.items():
        assert len(ended.codes_of(level)) == plan.windows_total
        assert ended.progress[level].windows_done == plan.windows_total
        assert ended.metrics[level].tokens_per_second > 0
        drawn = eager.metrics.registry.get_sample_value("jukebox_tokens_total", {"level": level})
        assert drawn == 2 * plan.tokens_total, "each window is counted once"


def test_without_a_free_lane_nothing_of_a_level_is_drawn_before_the_one_above_is(
    service, worker, models_dir
):
    narrow = replaced(worker, row_budget=RowBudget(OverlapMode.AUTO, max_rows=1))
    job = service.admit(duration_seconds=SONG_SEC, levels=TWO)
    seen = AtRecord(narrow, level="middle", act=lambda: None)
    run_song(narrow, job.id, Stage.TOP)
    for then in seen.jobs_then:  # none, if the files of the top were written before that
        assert len(then.codes_of("top")) == job.plan["top"].windows_total
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))


@pytest.mark.parametrize("mode", [OverlapMode.OFF, OverlapMode.ON])
def test_where_levels_must_not_run_together_each_waits_for_its_stage(
    service, worker, models_dir, mode, monkeypatch
):
    if mode is OverlapMode.ON:
        monkeypatch.setattr(worker.engine, "keeps_all_priors", lambda _: False)
    patient = replaced(worker, row_budget=RowBudget(mode, max_rows=3))
    job = service.admit(duration_seconds=SONG_SEC, levels=TWO)
    seen = AtRecord(patient, level="middle", act=lambda: None)
    run_song(patient, job.id, Stage.TOP)
    assert seen.jobs_then == []
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))


def test_nothing_is_drawn_for_a_stage_that_the_worker_does_not_serve(service, eager, models_dir):
    settings = eager.settings.model_copy(update={"stages": (Stage.TOP, Stage.MIDDLE)})
    upper = replaced(eager, settings=settings)
    job = service.admit(duration_seconds=5.0)
    run_song(upper, job.id, Stage.TOP)
    handed = service.store.get(job.id, with_windows=True)
    assert (handed.stage, handed.lease_expires_at) == (Stage.BOTTOM, None)
    assert service.queue.depth(Stage.BOTTOM) == 1
    assert {file.level for file in handed.codes} == {"top", "middle"}
    run_song(eager, job.id, Stage.BOTTOM)
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))


def test_a_worker_that_stops_leaves_what_it_drew_ahead_to_the_next(service, eager, models_dir):
    stopping = replaced(eager, draining=threading.Event())
    job = service.admit(duration_seconds=SONG_SEC, levels=TWO)
    AtRecord(stopping, level="middle", after=2, act=stopping.draining.set)
    run_song(stopping, job.id, Stage.TOP)
    kept = service.store.get(job.id, with_windows=True)
    assert (kept.stage, kept.lease_expires_at) == (Stage.TOP, None)
    assert len(kept.codes_of("middle")) >= 2
    run_song(eager, job.id, Stage.TOP)
    ended = service.store.get(job.id, with_windows=True)
    assert (ended.attempt, ended.fence) == (1, 2)
    assert set(kept.codes) < set(ended.codes), "nothing is drawn twice"
    assert_song(service, ended, sing_alone(models_dir, ended))


def test_a_song_that_is_canceled_while_it_is_drawn_ahead_leaves_no_unnamed_file(service, eager):
    heard, beat = threading.Event(), eager.store.heartbeat

    def heartbeat(*arguments, **options):
        if is_canceled := beat(*arguments, **options):
            heard.set()
        return is_canceled

    def cancel():
        service.store.request_cancel(job.id)
        assert heard.wait(300)

    eager.store.heartbeat = heartbeat
    job = service.admit(duration_seconds=30.0)
    AtRecord(eager, level="middle", act=cancel)
    run_song(eager, job.id, Stage.TOP)
    ended = service.store.get(job.id, with_windows=True)
    assert (ended.status, ended.stage) == (JobStatus.CANCELED, Stage.TOP)
    assert ended.codes_of("middle")
    folder = service.artifacts.path(job.id, ended.codes[0].name).parent
    assert {path.name for path in folder.iterdir()} == {file.name for file in ended.codes}


def test_a_damaged_window_below_is_drawn_again_from_the_codes_above(service, eager, models_dir):
    stopping = replaced(eager, draining=threading.Event())
    job = service.admit(duration_seconds=SONG_SEC, levels=TWO)
    AtRecord(stopping, level="middle", after=3, act=stopping.draining.set)
    run_song(stopping, job.id, Stage.TOP)
    kept = service.store.get(job.id, with_windows=True)
    for file in (kept.codes_of("top")[0], kept.codes_of("middle")[1]):
        path = service.artifacts.path(job.id, file.name)
        path.write_bytes(path.read_bytes()[:-4] + b"\xff\xff\xff\x00")
    run_song(eager, job.id, Stage.TOP)
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))
    fences = [file.name.partition("fence")[2][:6] for file in ended.codes_of("middle")]
    assert fences[:3] == ["000001", "000002", "000002"]


def test_a_worker_that_lost_its_lease_puts_nothing_drawn_ahead_on_record(
    service, eager, models_dir
):
    """Another one has taken the job over when its first window of a lower level is written."""
    job = service.admit(duration_seconds=SONG_SEC, levels=TWO)
    write = eager.artifacts.write_codes
    claims = []

    def write_late(job_id, *, fence, level, **options):
        file = write(job_id, fence=fence, level=level, **options)
        if level == "middle" and not claims:
            now = service.store.get(job_id, with_windows=True)
            service.store.release(replaced(claim_of(now), fence=fence))
            claims.append(service.store.claim(job_id, now.stage, worker="you", lease_sec=60))
        return file

    eager.artifacts.write_codes = write_late
    run_song(eager, job.id, Stage.TOP)
    (taken,) = claims
    now = service.store.get(job.id, with_windows=True)
    assert now.codes_of("middle") == ()
    folder = service.artifacts.path(job.id, now.codes_of("top")[0].name).parent
    assert {path.name for path in folder.iterdir()} == {file.name for file in now.codes}
    service.store.release(taken)
    run_song(eager, job.id, Stage.TOP)
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))


def claim_of(job):
    return Claim(job=job, fence=job.fence, worker=job.worker)


def test_codes_drawn_ahead_are_found_by_the_stage_they_are_for(
    service, eager, models_dir, monkeypatch
):
    """All of the middle is on record when the top's stage is given back; nothing is drawn again."""
    job = service.admit(duration_seconds=SONG_SEC, levels=TWO)
    stopping = replaced(eager, draining=threading.Event())
    last = job.plan["middle"].windows_total
    AtRecord(stopping, level="middle", after=last, act=stopping.draining.set)
    with monkeypatch.context() as patch:
        patch.setattr("worker.tasks.write_sound", lambda *_: stopping.draining.wait(300) and [])
        run_song(stopping, job.id, Stage.TOP)
    kept = service.store.get(job.id, with_windows=True)
    assert (kept.stage, len(kept.codes_of("middle"))) == (Stage.TOP, last)
    run_stage(eager, job.id, Stage.TOP)
    run_stage(eager, job.id, Stage.MIDDLE)
    now = service.store.get(job.id, with_windows=True)
    assert now.stage is Stage.RENDER
    assert now.codes == kept.codes
    assert_codes(service, now, sing_alone(models_dir, now))


def test_a_worker_killed_while_it_draws_ahead_costs_what_was_under_way(service, models_dir):
    with running_worker(service, **freezing("middle-0", after=1), **AHEAD) as first:
        job_id = service.post(duration_seconds=12.0, levels=TWO)
        first.wait_frozen()
        first.kill()
    service.end_lease(job_id)
    killed = service.store.get(job_id, with_windows=True)
    assert (killed.stage, killed.status) == (Stage.TOP, JobStatus.RUNNING)
    assert len(killed.codes_of("middle")) == 1
    with running_worker(service, **AHEAD):
        job = service.wait_end(job_id)
    assert (job.attempt, job.progress_value) == (2, 1.0)
    assert set(killed.codes) < set(job.codes)
    assert_song(service, job, sing_alone(models_dir, job))


def test_a_song_that_a_worker_died_with_is_not_drawn_ahead(service, eager, models_dir):
    """Or a window that kills would be begun again as often as one above it was kept meanwhile."""
    job = service.admit(duration_seconds=SONG_SEC / 2, levels=TWO)
    assert service.store.claim(job.id, Stage.TOP, worker="dead", lease_sec=0.001) is not None
    seen = AtRecord(eager, level="middle", act=lambda: None)
    service.wait(job.id, lambda job: job.lease_expires_at < datetime.now(UTC))
    run_song(eager, job.id, Stage.TOP)
    assert seen.jobs_then == []
    ended = service.store.get(job.id, with_windows=True)
    assert ended.attempt == 2
    assert_song(service, ended, sing_alone(models_dir, ended))


def test_a_song_whose_files_are_drawn_again_at_the_end_succeeds_with_all_of_them(
    service, worker, models_dir
):
    """The last window takes so long to write that all else is done by then."""
    job = service.admit()
    for stage in (Stage.TOP, Stage.MIDDLE, Stage.BOTTOM):
        run_stage(worker, job.id, stage)
    drawn = service.store.get(job.id, with_windows=True)
    folder = service.artifacts.path(job.id, drawn.codes[0].name).parent
    for path in folder.glob("bottom-*"):
        path.unlink()
    last = drawn.codes_of("bottom")[-1]
    write, succeed, is_ending = (
        worker.artifacts.write_codes,
        worker.store.succeed,
        threading.Event(),
    )

    def write_late(job_id, *, start, **options):
        if start == last.start:
            is_ending.wait(1.0)
        return write(job_id, start=start, **options)

    def end(claim):
        is_ending.set()
        succeed(claim)

    worker.artifacts.write_codes, worker.store.succeed = write_late, end
    run_stage(worker, job.id, Stage.RENDER)
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))
    assert len(ended.codes_of("bottom")) == job.plan["bottom"].windows_total
    assert {path.name for path in folder.glob("bottom-*.safetensors")} == {
        file.name for file in ended.codes_of("bottom")
    }


class FailingDraw:
    """Windows of the middle cannot be drawn, or only not at first."""

    def __init__(self, engine, *, times):
        self._draw, self._left = engine.draw, times

    def __call__(self, model, sequences):
        if sequences[0].level is not Level.MIDDLE or self._left == 0:
            return self._draw(model, sequences)
        self._left -= 1
        drawing = Drawing(model, sequences)
        drawing.fail(CheckpointError("the middle prior is broken"))
        return drawing


def test_a_failure_ahead_of_its_stage_costs_only_the_time_that_was_to_be_won(
    service, eager, models_dir
):
    eager.engine.draw = FailingDraw(eager.engine, times=1)
    job = service.admit(duration_seconds=SONG_SEC / 2, levels=TWO)
    run_song(eager, job.id, Stage.TOP)
    ended = service.store.get(job.id, with_windows=True)
    assert_song(service, ended, sing_alone(models_dir, ended))


def test_a_song_whose_lower_level_cannot_be_drawn_fails_with_what_lies_above_it(service, eager):
    eager.engine.draw = FailingDraw(eager.engine, times=1000)
    job = service.admit(duration_seconds=SONG_SEC / 2, levels=TWO)
    run_song(eager, job.id, Stage.TOP)
    ended = service.store.get(job.id, with_windows=True)
    assert (ended.status, ended.stage) == (JobStatus.FAILED, Stage.MIDDLE)
    assert ended.error.code == "broken_model"
    assert {output.level for output in ended.outputs} == {"top"}
    assert len(ended.codes_of("top")) == job.plan["top"].windows_total
