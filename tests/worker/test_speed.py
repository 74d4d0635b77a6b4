"""What a model takes here: measured in a few steps while nothing is generated, and kept on disk."""

import itertools
import json
import shutil
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from jobs.model_figures import FIGURES_FILE, ModelFigures, read_figures, seconds_of_music
from jobs.record.job import LevelProgress, Stage
from jukebox_core.config import Weights
from jukebox_core.models.catalog import REMOTE_WEIGHTS_FILE, ModelCatalog, read_config
from jukebox_core.models.memory_plan import MemoryPlan
from jukebox_core.models.placement import Placement
from jukebox_core.sampling.step_cost import PLANNED_ROWS, SampledWork, conditioner_products
from jukebox_core.units import Level
from tests.worker.jobs_and_processes import make_job
from worker.app import build_parts
from worker.device.speed import NUM_STEPS, SpeedMeter, step_slices
from worker.lease.progress import StageProgress
from worker.settings import WorkerSettings
from worker.song.job_song import JobSong
from worker.song.rates import costs_of, measure_windows


@pytest.fixture
def parts(models_dir, tmp_path, monkeypatch):
    """A worker for which `tiny` is large, with its engine running."""
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 1)
    settings = WorkerSettings(
        redis_url="redis://nowhere", models_dir=models_dir, device="cpu", data_dir=tmp_path / "data"
    )
    parts = build_parts(settings)
    parts.engine.start()
    yield parts
    parts.engine.stop()
    parts.engine.join(60)


def wait_until(is_true, timeout_sec=60.0):
    deadline = time.monotonic() + timeout_sec
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def plan_of(card, rows):
    return MemoryPlan(placement=Placement.RESIDENT, rows=rows, total_bytes=card.num_bytes + 1)


def meter(parts, **changes):
    options = {
        "folder": parts.settings.local_dir,
        "plan": lambda card: plan_of(card, dict.fromkeys(Level, 3)),
        "idle_sec": 0.0,
    }
    return SpeedMeter(
        parts.engine, ModelCatalog(parts.settings.models_dir), parts.backends, **options | changes
    )


def test_a_large_model_is_measured_once_and_the_figures_are_kept(parts, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(
        "worker.device.speed.step_slices",
        lambda *words: step_slices(*words, clock=lambda: float(next(ticks))),
    )
    first = meter(parts)
    first.measure_new()
    (name,) = first.seconds()
    kept = read_figures(parts.settings.local_dir)[name]
    assert (name, kept.setup) == ("tiny", parts.backends.setups(parts.catalog)["tiny"])
    assert kept.memory_bytes == parts.catalog.get("tiny").num_bytes + 1
    expected = seconds_of_music(
        parts.catalog.get(name).config,
        dict.fromkeys(Level, 1.0),
        dict.fromkeys(Level, 1 / 3),  # three rows take what one does
    )
    assert (kept.seconds_per_second, kept.seconds_in_parallel) == pytest.approx(expected, abs=1e-3)
    assert first.seconds()[name] == (kept.seconds_per_second, kept.seconds_in_parallel)
    monkeypatch.setattr(parts.engine, "run_slices", None)  # nothing is measured again
    second = meter(parts)
    second.measure_new()
    assert second.seconds() == first.seconds()
    wait_until(lambda: parts.engine.is_idle)


def test_a_model_that_comes_or_is_replaced_later_is_measured_without_a_restart(
    parts, tmp_path, monkeypatch
):
    folder = tmp_path / "later"
    folder.mkdir()
    measured = []

    def put(name, *, more=""):
        """Whole at once, as `pull` and `convert` do."""
        draft = shutil.copytree(
            parts.settings.models_dir / "tiny", tmp_path / f"draft{more}-{name}"
        )
        (draft / "config.json").write_text((draft / "config.json").read_text() + more)
        if (folder / name).exists():
            (folder / name).rename(tmp_path / "replaced")
        draft.rename(folder / name)

    monkeypatch.setattr(
        SpeedMeter, "_measure", lambda _self, card, _timed: measured.append(card.name)
    )
    later = SpeedMeter(
        parts.engine,
        ModelCatalog(folder),
        parts.backends,
        folder=parts.settings.local_dir,
        plan=lambda card: plan_of(card, dict.fromkeys(Level, 3)),
        idle_sec=0.0,
    )
    monkeypatch.setattr("worker.device.speed.LOOK_SEC", 0.01)
    later.start()
    put("pulled")
    wait_until(lambda: measured == ["pulled"])
    put("another")
    wait_until(lambda: measured == ["pulled", "another"])
    put("pulled", more=" ")
    wait_until(lambda: measured == ["pulled", "another", "pulled"])
    later.stop()
    later.join(60)
    assert not later.is_alive()
    assert set(read_figures(parts.settings.local_dir)) == {"another", "pulled"}


def test_a_model_in_a_bucket_is_measured_when_a_song_has_fetched_it(parts, tmp_path, monkeypatch):
    """A worker that fetched every model to measure it would fill its disk."""
    directory = shutil.copytree(parts.settings.models_dir / "tiny", tmp_path / "copies" / "remote")
    weights = {path.name: {"num_bytes": 1} for path in directory.glob("*.safetensors")}
    (directory / REMOTE_WEIGHTS_FILE).write_text(json.dumps(weights))
    for name in weights:
        (directory / name).rename(tmp_path / name)
    measured = []
    monkeypatch.setattr(
        SpeedMeter, "_measure", lambda _self, card, _timed: measured.append(card.name)
    )
    of_bucket = SpeedMeter(
        parts.engine,
        ModelCatalog(tmp_path / "copies"),
        parts.backends,
        folder=parts.settings.local_dir,
        plan=lambda card: plan_of(card, dict.fromkeys(Level, 3)),
        idle_sec=0.0,
    )
    of_bucket.measure_new()
    for name in sorted(name for name in weights if name.startswith("prior_")):
        assert measured == []
        (tmp_path / name).rename(directory / name)
        of_bucket.measure_new()
    assert measured == ["remote"]
    of_bucket.measure_new()
    assert measured == ["remote"]


def test_another_setup_is_measured_again(parts):
    meter(parts).measure_new()
    file = parts.settings.local_dir / FIGURES_FILE
    values = json.loads(file.read_text())
    values["tiny"] |= {"seconds_per_second": 1e9, "measured_as": "of another release"}
    file.write_text(json.dumps(values))
    again = meter(parts)
    again.measure_new()
    assert again.seconds()["tiny"][0] < 1e9


def test_a_worker_measures_with_the_rows_that_fit_and_again_when_others_do(parts, monkeypatch):
    counts = []
    monkeypatch.setattr(
        "worker.device.speed.step_slices",
        lambda *words: counts.append(words[2]) or step_slices(*words),
    )
    small, large = ({level: rows for level in Level} for rows in (2, 99))
    for rows in (small, small, large):
        meter(parts, plan=lambda card, rows=rows: plan_of(card, rows)).measure_new()
    assert counts == [(1, 2)] * 3 + [(1, PLANNED_ROWS)] * 3


def test_a_worker_of_some_levels_measures_nothing_and_loads_nothing(parts):
    of_top = meter(parts, plan=lambda card: plan_of(card, {Level.TOP: 3}))
    of_top.measure_new()
    assert of_top.seconds() == {}
    assert parts.describe().loaded_models == ()


@pytest.mark.parametrize("speed", ["exact", "parallel"])
def test_the_time_of_a_song_is_told_from_the_steps_that_were_timed(parts, speed, monkeypatch):
    rows = dict.fromkeys(Level, 4)
    parts.speed._plan = lambda card: plan_of(card, rows)
    steps = {level.label: (1.0, 1.5) for level in Level}
    parts.speed._figures = {"tiny": ModelFigures(setup="", steps=steps)}
    job = make_job(parts.catalog, duration_seconds=2.0, speed=speed)
    card = parts.catalog.get("tiny")
    song = JobSong.from_job(job, card.config, card.tokenizer, "native", Weights.INT8)
    told = costs_of(parts, job, song)
    assert told.unit_sec == 1.0
    segments = {level: len(plan.segments) for level, plan in song.plan.levels.items()}
    for level, plan in song.plan.levels.items():
        sampled = sum(
            segment.drawn(number).num_new
            for segment in plan.segments
            for number in range(len(segment.windows))
        )
        turns, rest = divmod(segments[level], 4)
        of_all = 1.5 * turns + (1.0 + 0.5 * (rest - 1) / 3 if rest else 0.0)
        token = of_all / segments[level]
        assert told.tokens[level.label] >= 0.99 * token * sampled
        assert told.tokens[level.label] == pytest.approx(token * sampled, rel=0.4)
    assert told.total_sec > sum(told.tokens.values())
    monkeypatch.setattr(parts.store, "rates", lambda _model: dict.fromkeys(Stage, 10.0))
    of_songs = costs_of(parts, job, song)
    assert sum(of_songs.tokens.values()) == pytest.approx(0.1 * sum(told.tokens.values()))


def test_what_windows_took_is_kept_for_songs_to_come_and_left_out_of_the_speed_of_steps(parts):
    parts.speed._figures = {"tiny": ModelFigures(setup="")}
    job = make_job(parts.catalog, duration_seconds=2.0)
    card = parts.catalog.get("tiny")
    song = JobSong.from_job(job, card.config, card.tokenizer, "native", Weights.INT8)
    told = costs_of(parts, job, song)
    work = replace(told.levels[Level.MIDDLE], unit=0.1)
    now, done = 0.0, SampledWork()
    progress = StageProgress(job, clock=lambda: now)
    total = song.plan.levels[Level.MIDDLE].total_work(work)
    level_works = dict.fromkeys(told.tokens, total)
    progress.set_works(level_works, 1.0, [], dict.fromkeys(told.tokens, 0.3 * total))
    lease = SimpleNamespace(progress=progress, claim=SimpleNamespace(job=job))
    assert measure_windows(parts, lease, song, Level.MIDDLE, work) is work, "nothing was seen yet"
    progress.watch("middle", lambda: LevelProgress(), lambda: done)
    progress.snapshot()
    for step in range(1, 7):  # windows take four times as long as planned, tokens twice
        now += 0.1 * total * (4.0 if step % 2 else 2.0)
        done = SampledWork(0.1 * total * ((step + 1) // 2), 0.1 * total * (step // 2))
        progress.snapshot()
    measured = measure_windows(parts, lease, song, Level.MIDDLE, work)
    assert measured.costs.window == pytest.approx(2.0 * work.costs.window, rel=0.05)
    product_sec = parts.speed._figures["tiny"].product_sec["window:middle"]
    products = conditioner_products(card.config.prior(Level.MIDDLE))
    assert product_sec * products == pytest.approx(4.0 * 0.1 * work.costs.window, rel=0.05)


def test_figures_that_cannot_be_read_are_replaced(parts):
    (parts.settings.local_dir).mkdir(exist_ok=True)
    (parts.settings.local_dir / FIGURES_FILE).write_text("[1]")
    assert read_figures(parts.settings.local_dir) == {}
    meter(parts).measure_new()
    assert set(read_figures(parts.settings.local_dir)) == {"tiny"}


def test_small_models_are_not_measured_and_stay_unknown(parts, monkeypatch):
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 1024)
    small = meter(parts)
    small.measure_new()
    assert small.seconds() == {}
    assert read_figures(parts.settings.local_dir)["tiny"].memory_bytes > 0


def test_nothing_is_measured_while_a_worker_stops(parts):
    stopping = meter(parts, idle_sec=60.0)
    stopping.stop()
    thread = threading.Thread(target=stopping.run)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert stopping.seconds() == {}


def test_every_step_is_a_slice_between_the_steps_of_songs(parts):
    work = parts.engine.run_slices("tiny", step_slices(Level.TOP, "native", (1, 2)))
    assert work.wait(60)
    assert len(work.pieces()) == 2 * NUM_STEPS
    assert all(float(piece) > 0 for piece in work.pieces())


def test_a_second_of_music_takes_the_tokens_of_all_its_levels(models_dir):
    config = read_config(models_dir / "tiny")
    rates = {level: config.time_base.tokens_per_second(level) for level in Level}
    alone = dict.fromkeys(Level, 1.0)
    exact, in_parallel = seconds_of_music(config, alone, dict.fromkeys(Level, 0.25))
    assert exact == pytest.approx(sum(rates.values()))
    lower = rates[Level.MIDDLE] + rates[Level.BOTTOM]
    assert in_parallel == pytest.approx(rates[Level.TOP] + 0.25 * lower)
    assert seconds_of_music(config, alone)[1] < exact
    doubled = replace(config, name="same")
    assert seconds_of_music(doubled, dict.fromkeys(Level, 2.0))[0] == pytest.approx(2 * exact)
