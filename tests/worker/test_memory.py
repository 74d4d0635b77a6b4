"""A worker plans what it loads by the memory there is, and gives it back when it is idle."""

import gc
import time
import weakref

import pytest
import torch

from jobs.record.job import Stage
from jukebox_core.engine import Engine
from jukebox_core.models.catalog import ModelCatalog
from jukebox_core.models.memory_plan import ModelTooLarge
from jukebox_core.models.placed_priors import PlacedPriors
from jukebox_core.models.placement import Placement
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.engine.windows import TOP_PRIORS, Draw, golden_priors, run_to_end
from tests.worker.jobs_and_processes import run_stage, sing_alone
from tests.worker.test_engine_thread import top_window, wait
from worker.app import build_parts
from worker.device.engine_thread import EngineThread
from worker.device.memory import NoRoomBeside, WorkerMemory
from worker.device.models import LoadedModel, ModelShelf
from worker.song.job_errors import to_job_error

CPU = torch.device("cpu")
KB = 1000


class Memory:
    """As much as a test says."""

    def __init__(self, free_bytes):
        self.free_bytes = free_bytes

    def __call__(self):
        return self.free_bytes


def planner(free_bytes, device=CPU, max_rows=8):
    return WorkerMemory(
        device=device,
        dtype=torch.float32,
        has_int8_weights=lambda _: False,
        levels=COARSE_TO_FINE,
        max_rows=max_rows,
        placement="auto",
        free_bytes=free_bytes,
    )


@pytest.fixture
def card(models_dir):
    return ModelCatalog(models_dir).get("tiny")


def test_a_worker_plans_beside_what_it_may_already_hold(card, monkeypatch):
    monkeypatch.setattr("jukebox_core.models.device_memory.MAX_WORKING_BYTES", 100 * KB)
    memory = Memory(10**9)
    worker = planner(memory, torch.device("cuda"))
    whole = worker.plan(card)
    assert set(whole.rows.values()) == {8}
    beside = worker.plan_beside(card, 10**9 - whole.total_bytes * 2 // 3)
    assert beside.total_bytes <= whole.total_bytes * 2 // 3
    assert beside != whole
    # Others on the machine have taken it meanwhile.
    memory.free_bytes = 200 * KB
    with pytest.raises(ModelTooLarge, match="the model tiny is too large here: it takes at least"):
        worker.plan_beside(card, 0)
    assert worker.plan(card) == whole, "what it can hold at all is as before"


def test_a_model_that_did_not_fit_at_the_start_fits_when_others_gave_memory_back(card):
    memory = Memory(200 * KB)
    worker = planner(memory)
    with pytest.raises(ModelTooLarge):
        worker.plan(card)
    memory.free_bytes = 10**9
    assert set(worker.plan(card).rows.values()) == {8}
    assert worker.plan_beside(card, 0) == worker.plan(card)


def test_a_card_of_any_pretended_size_gets_a_plan_that_fits_or_a_refusal(card, monkeypatch):
    monkeypatch.setattr("jukebox_core.models.device_memory.MAX_WORKING_BYTES", 100 * KB)
    placements, memory = [], Memory(10**9)
    worker = planner(memory, torch.device("cuda"))
    for free_bytes in range(50 * KB, 30_000 * KB, 100 * KB):
        memory.free_bytes = free_bytes
        try:
            plan = worker.plan_beside(card, 0)
        except ModelTooLarge:
            assert not placements
            continue
        assert plan.total_bytes <= free_bytes
        placements.append(plan.placement)
    assert placements[-1] is Placement.RESIDENT
    assert placements[0] is not Placement.RESIDENT


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_level_with_fewer_rows_samples_the_same_windows_one_after_the_other(rows):
    draws = {str(n): Draw(TOP_PRIORS[0], Level.TOP, seed=n) for n in range(4)}
    engine = Engine(
        golden_priors(TOP_PRIORS[0]),
        max_rows={Level.TOP: rows, Level.MIDDLE: 4, Level.BOTTOM: 4},
        backend="native",
    )
    for name, draw in draws.items():
        engine.submit(draw.sequence(name))
    most = 0
    results = {}
    while engine.has_work:
        for update in engine.step():
            results[update.id] = update.codes.tolist()
        most = max(most, len(engine._scheduler.running(Level.TOP)))
    assert most == rows
    assert results == {name: draw.slowly() for name, draw in draws.items()}


def test_a_window_waits_while_there_is_no_room_for_it_and_nobody_is_killed(caplog):
    draws = {str(n): Draw(TOP_PRIORS[0], Level.TOP, seed=n) for n in range(3)}
    memory = Memory(10**9)
    engine = Engine(golden_priors(TOP_PRIORS[0]), max_rows=4, free_bytes=memory)
    for name, draw in draws.items():
        engine.submit(draw.sequence(name))
    engine.step()
    memory.free_bytes = 1
    results = {}
    for _ in range(3):
        results |= {update.id: update.codes.tolist() for update in engine.step()}
    assert len(engine._scheduler.running(Level.TOP)) == 1
    memory.free_bytes = 10**9
    assert run_to_end(engine, results) == {name: draw.slowly() for name, draw in draws.items()}
    assert "a window has to wait" in caplog.text

    memory.free_bytes = 1
    engine.submit(draws["0"].sequence("alone"))
    (error,) = run_to_end(engine).values()
    assert "one window of the top prior alone does not fit" in str(error)
    assert to_job_error(error).code == "out_of_memory"


def test_on_a_cpu_levels_one_after_the_other_hold_the_weights_of_one():
    loaded, alive = [], weakref.WeakValueDictionary()

    def load(level, device):
        prior = golden_priors(TOP_PRIORS[0])[level]
        fresh = type(prior)(prior.config).eval()
        fresh.load_state_dict(prior.state_dict())
        loaded.append(level)
        alive[len(loaded)] = fresh
        return fresh

    priors = PlacedPriors(load, device=CPU, placement=Placement.ONE_AT_A_TIME)
    engine = Engine(priors, max_rows=2, one_level_at_a_time=True, backend="native")
    draws = {
        str(n): Draw(TOP_PRIORS[0], level, seed=n)
        for n, level in enumerate((*COARSE_TO_FINE, Level.TOP))
    }
    for name, draw in draws.items():
        engine.submit(draw.sequence(name))
        assert run_to_end(engine)[name] == draw.slowly()
        gc.collect()
        assert len(alive) == 1
    assert loaded == [*COARSE_TO_FINE, Level.TOP]
    # Somebody else needs a level, as to align lyrics, and the engine has another.
    for level in (Level.BOTTOM, Level.TOP):
        engine.make_way_for(level)
        assert priors[level].config.level is level
        gc.collect()
        assert len(alive) == 1
    engine.submit(draws["0"].sequence("again"))
    priors[Level.MIDDLE]
    assert run_to_end(engine)["again"] == draws["0"].slowly()
    gc.collect()
    assert len(alive) == 1


def test_a_model_leaves_when_it_was_idle_for_long_and_comes_back_when_it_is_asked_for(models_dir):
    now = [100.0]
    shelf = ModelShelf(
        lambda name: LoadedModel(models_dir / name, device=CPU, dtype=torch.float32, max_rows=1),
        max_models=2,
        idle_unload_sec=60.0,
        clock=lambda: now[0],
    )
    gone = weakref.ref(shelf.get("tiny"))
    assert shelf.next_unload_sec() == 60.0
    now[0] += 59.0
    shelf.unload_idle(busy={"tiny"})
    now[0] += 59.0
    shelf.unload_idle()
    (seen,) = shelf.in_memory()
    assert (seen.name, seen.idle_since is not None) == ("tiny", True)
    now[0] += 1.0
    shelf.unload_idle()
    assert shelf.in_memory() == ()
    assert shelf.next_unload_sec() is None
    gc.collect()
    assert gone() is None
    assert shelf.get("tiny").num_bytes == 0
    shelf.get("tiny").vqvae  # noqa: B018
    assert shelf.in_memory()[0].memory_bytes > 0


def test_the_engine_unloads_idle_models_by_itself_and_sings_again(models_dir, card):
    shelf = ModelShelf(
        lambda name: LoadedModel(models_dir / name, device=CPU, dtype=torch.float32, max_rows=2),
        max_models=1,
        idle_unload_sec=0.05,
    )
    engine = EngineThread(shelf, on_broken=lambda: None)
    engine.start()
    catalog = ModelCatalog(models_dir)
    for turn in range(2):
        sequences, job = top_window(catalog, f"{turn}", seed=turn, duration_seconds=1.1)
        codes = wait(engine.draw("tiny", sequences)).codes()
        assert codes.tolist() == sing_alone(models_dir, job)["top"].tolist()
        deadline = time.monotonic() + 60
        while shelf.in_memory() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert shelf.in_memory() == ()
    engine.stop()
    engine.join(60)


def test_models_that_are_idle_make_room_for_one_that_does_not_fit_beside_them(models_dir):
    def load(name):
        if "a" in shelf.names():
            raise NoRoomBeside("it takes more")
        return LoadedModel(models_dir / name, device=CPU, dtype=torch.float32, max_rows=1)

    shelf = ModelShelf(load, max_models=3)
    shelf.get("a")
    shelf.get("b")
    assert shelf.names() == ("b",)


@pytest.mark.redis
def test_a_job_whose_model_is_too_large_ends_with_a_sentence(service, worker, monkeypatch):
    monkeypatch.setattr("worker.device.memory.free_bytes_of", lambda _device: KB)
    parts = build_parts(worker.settings)
    parts.engine.start()
    job = service.admit()
    run_stage(parts, job.id, Stage.TOP)
    error = service.store.get(job.id).error
    assert (error.code, error.retryable) == ("model_too_large", True)
    assert "The model tiny is too large here: it takes at least" in error.message
    described = parts.describe()
    assert set(described.too_large) == set(described.models)
    assert described.model_memory == {}
    parts.engine.stop()
    parts.engine.join(60)


@pytest.mark.redis
def test_a_worker_tells_the_fleet_what_it_holds_and_what_it_takes(service, worker):
    worker.store.announce_worker(worker.describe(), ttl_sec=60)
    (seen,) = service.store.workers()
    assert seen.model_memory["tiny"] > 0
    assert seen.loaded_models == ()
    job = service.admit(levels=("top",))
    run_stage(worker, job.id, Stage.TOP)
    worker.store.announce_worker(worker.describe(), ttl_sec=60)
    ((loaded,),) = (each.loaded_models for each in service.store.workers())
    assert loaded.name == "tiny"
    assert loaded.memory_bytes > 0
    assert loaded.idle_since is not None
