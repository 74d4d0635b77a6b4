"""How far it is from a request to the first matrix product: it may become shorter, not longer."""

from pathlib import Path

import pytest

from tests.trace import trace_of_one_song

pytestmark = [pytest.mark.anyio, pytest.mark.redis]

MOST_CALLS = 20
"""Wanted are 20; the layers of the model are 7 of them."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_way_from_a_request_to_the_first_product_is_short(
    clean_redis_url: str, models_dir: Path, tmp_path: Path
):
    trace = await trace_of_one_song(clean_redis_url, models_dir, tmp_path)
    assert trace.request[0] == "api.routes.jobs.create_job"
    assert trace.request[-1].endswith(".create")
    assert trace.task[0] == "worker.tasks.run_song"
    assert trace.task[-1].endswith("EngineThread.draw")
    assert trace.engine[0].endswith("EngineThread.run")
    assert "jukebox_core.engine.engine.Engine.step" in trace.engine
    assert trace.num_calls <= MOST_CALLS, f"\n{trace}"
