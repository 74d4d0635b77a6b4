"""The measurement of the service runs in its small form, and adds up rightly."""

from pathlib import Path

import httpx
import pytest
import torch

from bench import linux
from bench.serve import start
from bench.serve.__main__ import main
from bench.serve.load import throughput_under_load
from bench.serve.timings import Timings
from tests.bench.last_line import last_line


def e2e(test):
    """With processes of a service; not in every run."""
    return pytest.mark.e2e(pytest.mark.nightly("bench")(test))


FIELDS = {
    "queued",
    "watchers",
    "window_seconds",
    "post",
    "get",
    "watched_events",
    "broken_streams",
    "tokens_per_sec_calm",
    "tokens_per_sec_under_load",
    "throughput_under_load",
    "api_memory",
}


@pytest.fixture(scope="module")
def told():
    """All that one worker of `tiny` can tell."""
    parts = ("batch", "overhead", "live", "load")
    return last_line(main, "--quick", "--backend", "torch", *parts)


@e2e
def test_the_service_is_measured_under_load(told):
    assert (told["model"], told["backend"]) == ("tiny", "torch")
    load = told["load"]
    assert set(load) == FIELDS
    assert load["queued"]["number"] == 40
    assert load["queued"]["refused"] == load["broken_streams"] == 0
    assert load["post"]["p50_ms"] <= load["post"]["p99_ms"] <= load["post"]["max_ms"]
    assert load["watched_events"] >= load["watchers"]
    assert len(load["tokens_per_sec_calm"]) == 2
    assert 0 < load["api_memory"]["first_mb"] <= load["api_memory"]["most_mb"]


@e2e
def test_a_song_of_the_service_is_compared_with_one_of_the_library(told):
    assert list(told["overhead"]) == ["exact", "parallel"]
    for figures in told["overhead"].values():
        service, library = figures["service_seconds"], figures["library_seconds"]
        assert figures["beside_drawing_seconds"] == pytest.approx(
            service - figures["drawing_seconds"], abs=0.01
        )
        assert figures["overhead_seconds"] == pytest.approx(service - library, abs=0.01)
        assert sum(figures["parts"].values()) == pytest.approx(service, abs=0.01)
        assert figures["parts"]["waiting"] == figures["waiting_seconds"] >= 0
        assert sum(figures["library_parts"].values()) == pytest.approx(library, abs=0.01)
        assert figures["library_cpu_seconds"] > 0 <= figures["service_cpu_seconds"]


@e2e
def test_songs_at_once_are_compared_with_songs_one_after_the_other(told):
    batch = told["batch"]
    assert batch["songs"] == 2
    (times,) = batch["times_of_rounds"]
    assert batch["times"] == pytest.approx(times, abs=0.001)
    assert batch["times"] == pytest.approx(
        batch["one_by_one_seconds"] / batch["at_once_seconds"], rel=0.01
    )
    assert batch["one_by_one_cpu_seconds"] >= 0 <= batch["at_once_cpu_seconds"]
    assert batch["music_seconds_per_second"] == pytest.approx(
        2 * batch["song_seconds"] / batch["at_once_seconds"], rel=0.01
    )


@e2e
def test_the_first_sound_stalls_and_the_cost_of_listeners_are_measured(told):
    live = told["live"]
    assert live["listeners"] == 2
    assert 0 <= live["first_sound_seconds"]["median"] <= live["first_sound_seconds"]["most"]
    assert live["heard_seconds"]["median"] == pytest.approx(live["song_seconds"], abs=0.1)
    assert live["stalls"] >= 0
    for kind in ("alone", "one", "several"):
        assert live["job_seconds"][kind]["median"] > 0
        assert live["api_cpu_seconds"][kind]["median"] >= 0
    assert live["times_slower_with_one"] > 0 < live["times_slower_with_several"]


@e2e
def test_the_first_token_comes_after_the_start(monkeypatch):
    """Of all that a cold start needs, torch stays in the page cache: other tests use it too."""
    torch_folder = Path(torch.__file__).parent
    monkeypatch.setattr(
        start, "evict", lambda paths: linux.evict(p for p in paths if torch_folder not in p.parents)
    )
    told = last_line(main, "--quick", "start")["start"]
    for kind in ("cold", "warm"):
        # Two moments of one clock, one after the other.
        assert 0 < told[f"{kind}_ready_seconds"] <= told[f"{kind}_first_token_seconds"]


@e2e
def test_a_crowd_watches_pretend_workers():
    small = ("--stored", 50, "--workers", 4, "--worker-rate", 4000, "--connections", 2)
    small += ("--worker-processes", 1)
    crowd = last_line(main, "--quick", *small, "crowd")["crowd"]
    assert crowd["stored_jobs"] == 50
    for kind in ("post", "get", "list"):
        assert crowd[kind]["per_sec"] > 0
        assert crowd[kind]["refused"] == crowd["watched"][kind]["refused"] == 0
    watched = crowd["watched"]
    assert watched["broken_streams"] == 0
    assert watched["events_per_sec"] > 0
    assert watched["lag"]["p50_ms"] <= watched["lag"]["p99_ms"]
    alone = crowd["fleet_alone"]
    assert alone["per_window"]["commands"] > alone["per_window"]["scripts"] > 1
    assert set(alone["cores"]) == {"server", "api", "clients", "workers 0"}


@e2e
def test_nothing_is_left_of_jobs_that_are_not_retained(monkeypatch):
    monkeypatch.setattr("bench.serve.retention._KEPT_SEC", 1.0)
    monkeypatch.setattr(
        "bench.serve.retention._SETTINGS",
        {
            "JUKEBOX_RETENTION": "keep_jobs_sec=1,keep_trash_sec=1",
            "JUKEBOX_TUNING": "sweep_sec=0.5",
        },
    )
    told = last_line(main, "--quick", "--retained", 100, "--worker-processes", 1, "retention")
    retention = told["retention"]
    assert retention["jobs"] == 100
    assert 49 <= retention["most_jobs"] <= 100, "of one connection all but the canceled one wait"
    assert retention["left"]["jobs"] == retention["left"]["folders"] == 0
    assert not [name for name in retention["left"]["keys"] if "JOB" in name]
    assert {"second", "api_mb", "server_mb", "server_resident_mb", "jobs"} == set(
        retention["series"][0]
    )


def test_percentiles_are_those_of_the_answers():
    timings = Timings(milliseconds=[float(number) for number in range(100, 0, -1)])
    told = timings.summary()
    assert (told["p50_ms"], told["p99_ms"], told["max_ms"]) == (51.0, 100.0, 100.0)
    assert told["number"] == 100


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_refusals_are_counted(anyio_backend):
    timings = Timings()

    async def refuse() -> httpx.Response:
        return httpx.Response(429)

    await timings.time(refuse)
    assert timings.summary()["refused"] == 1


def test_throughput_under_load_is_compared_with_the_calm_windows_around():
    assert throughput_under_load([100.0, 50.0, 0.0], [60.0, 20.0]) == 0.8
    assert throughput_under_load([0.0, 0.0, 100.0], [60.0, 25.0]) == 0.5
    assert throughput_under_load([0.0, 0.0], [60.0]) is None
