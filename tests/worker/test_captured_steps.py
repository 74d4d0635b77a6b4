"""What a worker's settings make of the engine of a GPU; nothing here touches one."""

import pytest
import torch

from jukebox_core.models.placement import Placement
from worker.device.models import LoadedModel
from worker.settings import WorkerSettings


@pytest.fixture
def settings(monkeypatch):
    def with_environment(**environment):
        for name, value in {"REDIS_URL": "redis://nowhere", **environment}.items():
            monkeypatch.setenv(name, value)
        return WorkerSettings.from_environment()

    return with_environment


def engine_of(folder, device, **how):
    return LoadedModel(
        folder, device=torch.device(device), dtype=torch.float16, max_rows=6, **how
    ).engine


def test_songs_are_the_same_in_any_company_and_steps_are_captured_unless_told_otherwise(settings):
    usual = settings()
    assert (usual.deterministic, usual.graphs) == ("on", "auto")
    other = settings(JUKEBOX_TUNING="deterministic=off,graphs=off")
    assert (other.deterministic, other.graphs) == ("off", "off")


def test_on_a_gpu_all_rows_are_computed_and_captured(tmp_path):
    engine = engine_of(tmp_path, "cuda")
    assert engine._runners.min_rows == 6
    assert engine._runners.make_capturer is not None
    free = engine_of(tmp_path, "cuda", deterministic=False, graphs="off")
    assert free._runners.min_rows == 1
    assert free._runners.make_capturer is None


@pytest.mark.parametrize(
    ("placement", "captures"),
    [
        (Placement.RESIDENT, True),
        (Placement.ONE_AT_A_TIME, True),
        (Placement.OFFLOADED, False),
    ],
)
def test_weights_that_visit_the_device_are_not_captured(tmp_path, placement, captures):
    engine = engine_of(tmp_path, "cuda", placement=placement)
    assert (engine._runners.make_capturer is not None) is captures


def test_a_cpu_captures_nothing(tmp_path):
    assert engine_of(tmp_path, "cpu")._runners.make_capturer is None
