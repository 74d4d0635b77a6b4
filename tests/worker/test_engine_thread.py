"""The thread that owns the device: work of many tasks, and faults that stay where they belong."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from jukebox_core.engine.song_run import SongRun
from jukebox_core.errors import ModelNotFound, SamplingError
from jukebox_core.units import Level
from tests.worker.jobs_and_processes import make_job, sing_alone
from worker.device.engine_thread import EngineThread
from worker.device.models import LoadedModel, ModelShelf
from worker.song.job_song import JobSong


@pytest.fixture
def shelf(models_dir):
    def load(name):
        if not (models_dir / name).is_dir():
            raise ModelNotFound(f"no model is called {name!r}")
        return LoadedModel(
            models_dir / name, device=torch.device("cpu"), dtype=torch.float32, max_rows=4
        )

    return ModelShelf(load, max_models=1)


@pytest.fixture
def catalog(models_dir):
    from jukebox_core.models.catalog import ModelCatalog

    return ModelCatalog(models_dir)


def top_window(catalog, name, **wanted):
    """The first window of a job, as sequences; and the job."""
    job = make_job(catalog, levels=("top",), **wanted)
    card = catalog.get("tiny")
    song = JobSong.from_job(job, card.config, card.tokenizer, "torch", card.weights)
    run = SongRun(song.inputs(name))
    run.open(Level.TOP)
    (window,) = run.begin(Level.TOP)
    return list(window.sequences), job


def wait(pending, timeout_sec=60.0):
    assert pending.wait(timeout_sec)
    return pending


@contextmanager
def held(engine):
    """The thread does nothing until the block has given it all its commands."""
    go_on = threading.Event()
    engine._inbox.put(go_on.wait)
    try:
        yield
    finally:
        go_on.set()


def after_steps(number, real, then):
    """`real` for so many calls; after those `then` is called first."""
    left = [number]

    def step(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            then()
        return real(*arguments, **options)

    return step


def test_windows_of_several_jobs_come_out_as_if_alone(engine, catalog, models_dir):
    windows = [
        top_window(catalog, f"{seed}", seed=seed, num_samples=2, duration_seconds=2.0)
        for seed in range(3)
    ]
    drawings = [engine.draw("tiny", sequences) for sequences, _ in windows]
    for drawing, (_, job) in zip(drawings, windows, strict=True):
        expected = sing_alone(models_dir, job)["top"]
        np.testing.assert_array_equal(wait(drawing).codes(), expected)
        assert drawing.num_sampled == expected.size


def test_a_canceled_drawing_leaves_its_rows_to_others(engine, catalog, shelf):
    unwanted, _ = top_window(catalog, "unwanted", num_samples=4, duration_seconds=4.0)
    wanted, _ = top_window(catalog, "wanted", duration_seconds=1.1)
    loaded = shelf.get("tiny").engine
    with held(engine):
        drawing = engine.draw("tiny", unwanted)
        following = engine.draw("tiny", wanted)
        loaded.step = after_steps(5, loaded.step, lambda: engine.cancel(drawing))
    assert wait(following).codes().shape == (1, 68)
    assert not drawing.wait(0)
    assert 4 * 4 <= drawing.num_sampled < 4 * 250


def test_a_broken_window_fails_its_own_drawing_only(engine, catalog, caplog):
    good, _ = top_window(catalog, "good", duration_seconds=1.1)
    bad, _ = top_window(catalog, "bad", num_samples=2, duration_seconds=1.1)
    bad[1].labels = (1, 2)
    broken, fine = engine.draw("tiny", bad), engine.draw("tiny", good)
    with pytest.raises(SamplingError, match="label vector of 2 numbers"):
        wait(broken).codes()
    assert wait(fine).codes().shape == (1, 68)


def test_an_unknown_model_fails_the_drawing(engine, catalog, caplog):
    sequences, _ = top_window(catalog, "a")
    with pytest.raises(ModelNotFound):
        wait(engine.draw("nobody", sequences)).codes()
    with pytest.raises(ModelNotFound):
        wait(engine.run_slices("nobody", lambda model: iter(()))).pieces()


def test_an_engine_that_breaks_is_replaced(engine, catalog, shelf, caplog):
    sequences, _ = top_window(catalog, "first", duration_seconds=4.0)

    def fall_over():
        raise RuntimeError("the device is gone")

    loaded = shelf.get("tiny").engine
    loaded.step = after_steps(5, loaded.step, fall_over)
    drawing = engine.draw("tiny", sequences)
    with pytest.raises(RuntimeError, match="the device is gone"):
        wait(drawing).codes()
    assert drawing.num_sampled > 0
    again, _ = top_window(catalog, "again", duration_seconds=1.1)
    assert wait(engine.draw("tiny", again)).codes().shape == (1, 68)


def test_a_broken_device_ends_the_worker_and_not_its_songs(shelf, catalog, caplog):
    broken = threading.Event()
    engine = EngineThread(shelf, on_broken=broken.set)
    sequences, _ = top_window(catalog, "song", duration_seconds=4.0)

    def fail(*_, **__):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def break_device():
        loaded._runners[Level.TOP].decode = fail

    loaded = shelf.get("tiny").engine
    loaded.step = after_steps(5, loaded.step, break_device)
    engine.start()
    drawing = engine.draw("tiny", sequences)
    assert broken.wait(60)
    engine.join(60)
    assert drawing.num_sampled > 0
    assert not drawing.wait(0), "the song is left to the next worker"


def test_sliced_work_runs_between_the_steps_of_songs(engine, catalog):
    sequences, _ = top_window(catalog, "song", num_samples=4, duration_seconds=4.0)
    seen = []

    def slices(model):
        for number in range(5):
            seen.append(drawing.num_sampled)
            yield torch.full((1,), float(number))

    with held(engine):
        drawing = engine.draw("tiny", sequences)
        work = engine.run_slices("tiny", slices)
    wait(work)
    assert torch.cat(work.pieces()).tolist() == [0, 1, 2, 3, 4]
    wait(drawing)
    assert seen == sorted(set(seen)), "the song moved between any two slices"


def test_sliced_work_that_fails_or_is_canceled_ends(engine, caplog):
    def fails(model):
        yield torch.zeros(1)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        wait(engine.run_slices("tiny", fails)).pieces()

    def endless(model):
        while True:
            yield torch.zeros(1)

    work = engine.run_slices("tiny", endless)
    engine.cancel(work)
    assert wait(engine.run_slices("tiny", lambda model: iter([torch.zeros(1)]))).pieces()


def test_the_model_used_least_lately_makes_room(models_dir, tmp_path):
    loaded = []

    def load(name):
        loaded.append(name)
        return LoadedModel(
            tmp_path / name, device=torch.device("cpu"), dtype=torch.float32, max_rows=1
        )

    shelf = ModelShelf(load, max_models=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        shelf.get(name)
    assert loaded == ["a", "b", "c", "b"]
    assert shelf.names() == ("a", "b")
