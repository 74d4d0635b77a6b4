"""A little of each fuzzer in every run of the tests; `make fuzz` runs them at full length."""

import pickle
import random

import pytest

from jukebox_core.tiny import write_tiny
from tests.api.conftest import serving
from tests.fuzz.availability import hostile_requests, measure
from tests.fuzz.bodies import a_body, send_bodies
from tests.fuzz.files import a_file, send_files, whole_files
from tests.fuzz.schema import run_schemathesis
from tests.fuzz.world import fuzz_world

pytestmark = pytest.mark.redis


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=[False, True], ids=["open", "with keys"])
def world(request, tmp_path_factory):
    with fuzz_world(tmp_path_factory.mktemp("fuzz"), locked=request.param) as world:
        yield world


def test_every_answer_is_one_that_the_document_declares(world, tmp_path):
    phases = ("examples", "fuzzing")
    run = run_schemathesis(world, tmp_path, max_examples=3, seed=7, phases=phases)
    assert run.is_clean, run.output + "\n".join(run.crashes)
    assert run.num_cases >= 75


@pytest.mark.anyio
async def test_malformed_bodies_are_refused_by_4xx_and_nothing_else(clean_redis_url, tmp_path):
    write_tiny(tmp_path / "models" / "tiny")
    async with serving(clean_redis_url, tmp_path / "models", tmp_path / "data") as service:
        run = await send_bodies(service, 500, seed=7)
    assert run.undeclared == []
    assert run.num_refused == 500
    assert {202, 400, 422} <= set(run.statuses)


def test_hostile_files_are_refused_by_4xx_and_nothing_else(world):
    run = send_files(world, 12, seed=7)
    assert run.undeclared == []
    assert world.crashes() == []
    assert run.num_files == 12
    assert run.peak_api_bytes < 400e6


def test_no_request_of_any_size_keeps_others_waiting(world):
    document = world.api.client.get("/openapi.json").json()
    requests = list(hostile_requests(world, document))
    assert len(requests) > 200
    run = measure(world, requests[::7])
    assert run.is_clean, (run.too_slow, run.crashes, run.statuses)


@pytest.mark.parametrize("name", ["a.safetensors", "a.wav", "a.pkl", "a"])
def test_a_pickle_is_refused_whatever_it_is_called(world, tmp_path, name):
    opened = tmp_path / "opened"
    files = {"file": (name, pickle.dumps(Opener(str(opened))))}
    response = world.api.client.post("/assets", files=files, headers=world.headers)
    assert response.status_code == 422
    assert not opened.exists()


class Opener:
    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self):
        return open, (self._path, "w")


def test_one_seed_makes_the_same_hostile_things_again():
    assert [a_body(random.Random(3)) for _ in range(2)] == [a_body(random.Random(3))] * 2
    files = whole_files()
    assert a_file(random.Random(3), files) == a_file(random.Random(3), files)
