"""Models that do not fit together: measurements give way to songs, and songs take turns."""

import gc
import shutil
import threading
import weakref

import numpy as np
import pytest
import torch

from jobs.model_figures import read_figures
from jukebox_core.errors import SamplingError
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.worker.jobs_and_processes import sing_alone
from tests.worker.test_engine_thread import held, top_window, wait
from tests.worker.test_memory import Memory
from tests.worker.test_speed import meter, parts  # noqa: F401
from worker.app import build_parts
from worker.device.engine_thread import EngineThread
from worker.device.memory import NoRoomBeside
from worker.device.models import LoadedModel, ModelShelf
from worker.device.speed import step_slices
from worker.device.works import WorkInterrupted
from worker.settings import WorkerSettings


@pytest.fixture
def loads():
    """Names of models, each time that one is loaded."""
    return []


@pytest.fixture
def shelf(models_dir, loads):
    """A machine with room for one model, whatever its name: `tiny` each time."""
    alive = weakref.WeakSet()

    def load(name):
        if shelf.names():
            raise NoRoomBeside("it takes more")
        gc.collect()
        assert not alive, "memory is still taken"
        loads.append(name)
        model = LoadedModel(
            models_dir / "tiny", device=torch.device("cpu"), dtype=torch.float32, max_rows=4
        )
        alive.add(model)
        return model

    shelf = ModelShelf(load, max_models=3)
    return shelf


@pytest.fixture
def window(models_dir):
    """Makes the first window of a song, and the codes that it has by itself."""
    catalog = ModelCatalog(models_dir)

    def make(name):
        sequences, job = top_window(catalog, name, seed=len(name), duration_seconds=1.1)
        return sequences, sing_alone(models_dir, job)["top"]

    return make


def endless(has_begun):
    """Work on a model without end, as long as nobody interrupts it."""

    def slices(model):
        prior = model.priors[Level.TOP]
        while True:
            has_begun.set()
            yield prior.codes_to_ids(torch.zeros(1, dtype=torch.int64))

    return slices


def wait_until_unloaded(engine, shelf):
    """The engine thread has done all that it was asked for."""
    done = threading.Event()
    engine._inbox.put(done.set)
    assert done.wait(60)
    assert shelf.names() == ()


def test_a_song_of_another_model_interrupts_a_measurement_and_is_sung(engine, shelf, loads, window):
    sequences, codes = window("song")
    has_begun = threading.Event()
    work = engine.run_slices("measured", endless(has_begun), level=Level.TOP, gives_way=True)
    assert has_begun.wait(60)
    np.testing.assert_array_equal(wait(engine.draw("asked for", sequences)).codes(), codes)
    assert isinstance(wait(work).error, WorkInterrupted)
    assert loads == ["measured", "asked for"]


def test_a_measurement_does_not_begin_beside_a_song(engine, window):
    sequences, _ = window("song")
    with held(engine):
        drawing = engine.draw("a", sequences)
        work = engine.run_slices("b", endless(threading.Event()), gives_way=True)
    assert isinstance(wait(work).error, WorkInterrupted)
    wait(drawing).codes()


def test_songs_of_models_that_do_not_fit_together_take_turns(engine, loads, window):
    windows = [window("x" * n) for n in range(1, 6)]
    with held(engine):
        drawings = [
            engine.draw(model, sequences)
            for model, (sequences, _) in zip("aabab", windows, strict=True)
        ]
    for drawing, (_, codes) in zip(drawings, windows, strict=True):
        np.testing.assert_array_equal(wait(drawing).codes(), codes)
    assert loads == ["a", "b", "a", "b"]
    assert engine.is_idle


def test_other_work_of_a_song_is_done_to_its_end_before_its_model_leaves(engine, loads, window):
    sequences, codes = window("song")

    def slices(model):
        for number in range(20):
            yield model.priors[Level.TOP].codes_to_ids(torch.tensor([number]))

    with held(engine):
        works = [engine.run_slices("a", slices), engine.run_beside("a", slices)]
        drawing = engine.draw("b", sequences)
        following = engine.run_slices("a", slices)
    assert [len(wait(work).pieces()) for work in (*works, following)] == [20, 20, 20]
    np.testing.assert_array_equal(wait(drawing).codes(), codes)
    assert loads == ["a", "b"]


def test_a_song_that_is_canceled_waits_no_more(engine, loads, window):
    first, unwanted, last = (window("x" * n)[0] for n in (1, 2, 3))
    with held(engine):
        drawings = [engine.draw("a", first), engine.draw("b", unwanted), engine.draw("a", last)]
        engine.cancel(drawings[1])
    wait(drawings[0]).codes()
    wait(drawings[2]).codes()
    assert loads == ["a"]
    assert engine.is_idle


def test_a_model_that_does_not_fit_by_itself_is_refused_at_once(models_dir, window):
    def load(_name):
        raise NoRoomBeside("others on the machine have taken it")

    engine = EngineThread(ModelShelf(load, max_models=2), on_broken=lambda: None)
    engine.start()
    sequences, _ = window("song")
    with pytest.raises(NoRoomBeside):
        wait(engine.draw("a", sequences)).codes()
    engine.stop()
    engine.join(60)


def test_what_failed_holds_no_model(engine, shelf):
    seen = []

    def slices(model):
        seen.append(weakref.ref(model))
        yield torch.zeros(1)
        raise SamplingError("this is a test")

    work = wait(engine.run_slices("a", slices))
    engine.unload("a")
    wait_until_unloaded(engine, shelf)
    assert seen[0]() is None
    with pytest.raises(SamplingError, match="this is a test"):
        work.pieces()


def test_a_measurement_that_fails_unloads_its_model(parts, monkeypatch, caplog):  # noqa: F811
    def broken(*words):
        def slices(model):
            yield from step_slices(*words)(model)
            raise SamplingError("this is a test")

        return slices

    monkeypatch.setattr("worker.device.speed.step_slices", broken)
    failed = meter(parts)
    failed.measure_new()
    wait_until_unloaded(parts.engine, parts.engine._shelf)
    assert failed.seconds() == {}
    assert "could not be measured" in caplog.text


def test_a_measurement_goes_on_after_a_song_where_it_was(parts, monkeypatch, window):  # noqa: F811
    sequences, _ = window("song")
    levels, drawings = [], []

    def interrupted(level, *words):
        levels.append(level)

        def slices(model):
            if len(levels) == 2:
                drawings.append(parts.engine.draw("tiny", sequences))
            yield from step_slices(level, *words)(model)

        return slices

    monkeypatch.setattr("worker.device.speed.step_slices", interrupted)
    meter(parts).measure_new()
    (drawing,) = drawings
    assert wait(drawing).codes().shape == (1, 68)
    assert list(dict.fromkeys(levels)) == list(COARSE_TO_FINE)
    assert (levels.count(Level.TOP), levels.count(Level.BOTTOM)) == (1, 1)
    assert levels.count(Level.MIDDLE) >= 2
    assert read_figures(parts.settings.local_dir)["tiny"].seconds_per_second > 0
    wait_until_unloaded(parts.engine, parts.engine._shelf)


def test_a_worker_sings_with_a_model_that_fits_once_the_measured_one_is_gone(
    models_dir, tmp_path, monkeypatch, window
):
    folder = tmp_path / "models"
    for name in ("tiny", "other"):
        shutil.copytree(models_dir / "tiny", folder / name)
    memory = Memory(10**9)
    monkeypatch.setattr("worker.device.memory.free_bytes_of", lambda _device: memory())
    settings = WorkerSettings(
        redis_url="redis://nowhere", models_dir=folder, device="cpu", data_dir=tmp_path / "data"
    )
    whole = build_parts(settings).describe().model_memory["tiny"]
    memory.free_bytes = whole * 11 // 10
    worker = build_parts(settings)
    assert set(worker.describe().model_memory) >= {"tiny", "other"}
    worker.engine.start()
    has_begun = threading.Event()
    work = worker.engine.run_slices("tiny", endless(has_begun), gives_way=True)
    assert has_begun.wait(60)
    sequences, codes = window("song")
    np.testing.assert_array_equal(wait(worker.engine.draw("other", sequences)).codes(), codes)
    assert work.has_ended
    worker.engine.stop()
    worker.engine.join(60)
