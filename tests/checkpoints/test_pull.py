"""Models by name, from servers that break, lie and vanish."""

import json
import multiprocessing
import os
import time
from dataclasses import replace

import pytest
import torch

from jukebox_core.checkpoints import load_directory, load_openai
from jukebox_core.checkpoints.convert import OpenAIFiles, convert
from jukebox_core.checkpoints.origin import Origin
from jukebox_core.checkpoints.pull import OpenAIAddress, pull
from jukebox_core.checkpoints.verify import verify
from jukebox_core.config import Weights
from jukebox_core.errors import CheckpointError, DownloadError, LicenceError
from jukebox_core.models.catalog import ModelCatalog, ModelState
from jukebox_core.models.pull_lock import is_pulling, pulling_place
from jukebox_core.units import Level
from tests.fixtures.released_models import GOLDEN, golden_files, serve_original, small_model

TOP = "/models/1b_lyrics/prior_level_2.pth.tar"
MIDDLE = "/models/5b/prior_level_1.pth.tar"


@pytest.fixture
def model():
    return small_model("1b_lyrics")


@pytest.fixture
def server(file_server, model):
    serve_original(file_server, model)
    return file_server


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


def address(server):
    return OpenAIAddress(weights_url=f"{server.url}/models/", labels_url=f"{server.url}/ids")


def fetch(model, folder, server, **options):
    return pull(model, folder, address(server), license_accepted=True, **options)


def everything_in(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def assert_same_weights(directory, model):
    files = {path: file for path, file in golden_files(model).items()}
    wanted = load_openai(
        model.config,
        vqvae=files[model.vqvae_path],
        priors={level: files[path] for level, path in model.prior_paths.items()},
    )
    found = load_directory(directory, dtype=torch.float32)
    pairs = zip((found.vqvae, *found.priors), (wanted.vqvae, *wanted.priors), strict=True)
    for ours, theirs in pairs:
        weights = ours.state_dict()
        for name, tensor in theirs.state_dict().items():
            assert torch.equal(weights[name], tensor), name


@pytest.mark.parametrize("name", ["1b_lyrics", "5b_lyrics", "5b"])
def test_a_pulled_model_is_the_original_s_and_nothing_else_is_left(name, file_server, folder):
    model = small_model(name)
    serve_original(file_server, model)
    directory = fetch(model, folder, file_server)
    assert directory == folder / name
    assert_same_weights(directory, model)
    assert ModelCatalog(folder).get(name).tokenizer is not None
    assert all(finding.is_fine for finding in verify(directory))
    assert {file.parts[0] for file in map(lambda f: f.relative_to(folder), folder.rglob("*"))} == {
        name
    }


def test_without_the_licence_nothing_is_asked_for(model, server, folder):
    with pytest.raises(LicenceError, match=r"no commercial use .* https://"):
        pull(model, folder, address(server), license_accepted=False)
    assert server.requests == []
    assert not folder.exists()


def test_a_model_that_is_there_is_not_fetched_again(model, server, folder):
    fetch(model, folder, server)
    server.requests.clear()
    assert fetch(model, folder, server) == folder / "1b_lyrics"
    assert server.requests == []
    assert [file.name for file in folder.iterdir()] == ["1b_lyrics"]


def test_what_was_finished_before_a_failure_is_not_fetched_again(model, server, folder):
    content = server.files.pop(MIDDLE)
    with pytest.raises(DownloadError, match=r"prior_level_1.pth.tar cannot be fetched.*404"):
        fetch(model, folder, server)
    assert ModelCatalog(folder).names() == ()
    server.files[MIDDLE] = content
    server.requests.clear()
    fetch(model, folder, server)
    assert {path for _, path, _ in server.requests} == {MIDDLE, "/models/5b/prior_level_0.pth.tar"}
    assert_same_weights(folder / "1b_lyrics", model)


def test_a_checkpoint_is_taken_up_in_the_middle_by_the_next_call(model, server, folder):
    half = len(server.files[TOP]) // 2
    server.break_after[TOP] = half
    server.failures[TOP] = []
    whole = server.files[TOP]

    def vanish(name, done, total):
        if name == "prior_level_2.pth.tar":
            server.failures[TOP] = [404]

    with pytest.raises(DownloadError, match="404"):
        fetch(model, folder, server, progress=vanish)
    server.failures[TOP].clear()
    server.requests.clear()
    fetch(model, folder, server)
    assert server.asked(TOP) == [f"bytes={half}-"]
    assert server.files[TOP] == whole
    assert_same_weights(folder / "1b_lyrics", model)


def test_a_truncated_checkpoint_is_thrown_away_and_fetched_anew(model, server, folder):
    whole = server.files[TOP]
    server.files[TOP] = whole[: len(whole) // 2]
    with pytest.raises(CheckpointError, match=r"prior_level_2.*thrown away"):
        fetch(model, folder, server)
    assert ModelCatalog(folder).names() == ()
    server.files[TOP] = whole
    fetch(model, folder, server)
    assert_same_weights(folder / "1b_lyrics", model)


def test_a_checkpoint_of_another_model_is_refused_and_its_tensors_are_named(model, server, folder):
    server.files[TOP] = (GOLDEN / "upsampler_level_1.pth.tar").read_bytes()
    with pytest.raises(CheckpointError, match=r"unknown: .*missing: .*thrown away"):
        fetch(model, folder, server)
    assert ModelCatalog(folder).names() == ()


def test_label_lists_with_a_wrong_hash_are_refused(model, server, folder):
    model = replace(model, label_hashes={"v3_genre_ids.txt": "0" * 64})
    with pytest.raises(DownloadError, match=r"v3_genre_ids.txt has SHA-256"):
        fetch(model, folder, server)
    assert not [name for name in everything_in(folder) if "v3_genre" in name]


def test_upsamplers_that_another_model_has_are_not_fetched_again(model, server, folder):
    fetch(model, folder, server)
    other = small_model("5b")
    serve_original(server, other)
    server.requests.clear()
    fetch(other, folder, server)
    fetched = {path for _, path, _ in server.requests if path.startswith("/models")}
    assert fetched == {"/models/5b/prior_level_2.pth.tar"}
    assert_same_weights(folder / "5b", other)


def test_int8_weights_are_pulled_part_by_part_and_resumed(model, server, folder):
    content = server.files.pop(MIDDLE)
    with pytest.raises(DownloadError):
        fetch(model, folder, server, weights=Weights.INT8)
    assert ModelCatalog(folder).names() == ()
    server.files[MIDDLE] = content
    server.requests.clear()
    directory = fetch(model, folder, server, weights=Weights.INT8)
    assert {path for _, path, _ in server.requests} == {MIDDLE, "/models/5b/prior_level_0.pth.tar"}
    assert all(finding.is_fine for finding in verify(directory))
    assert ModelCatalog(folder).get("1b_lyrics").weights is Weights.INT8
    assert [prior.has_int8_weights for prior in load_directory(directory).priors] == [True] * 3


def test_parts_of_another_precision_are_neither_linked_nor_taken_up(model, server, folder):
    server.files.pop("/models/5b/prior_level_0.pth.tar")
    with pytest.raises(DownloadError):
        fetch(model, folder, server)
    serve_original(server, model)
    server.requests.clear()
    fetch(model, folder, server, weights=Weights.INT8)
    assert server.asked(TOP)
    assert not server.asked("/models/5b/vqvae.pth.tar")
    other = small_model("5b")
    serve_original(server, other)
    server.requests.clear()
    fetch(other, folder, server)
    assert server.asked(MIDDLE)
    assert not server.asked("/models/5b/vqvae.pth.tar")


def test_parts_from_another_address_are_not_mixed_in(model, server, folder):
    server.files.pop(MIDDLE)
    with pytest.raises(DownloadError):
        fetch(model, folder, server)
    for path in list(server.files):
        server.files[path.replace("/models/", "/mirror/")] = server.files[path]
    server.files[MIDDLE.replace("/models/", "/mirror/")] = (
        GOLDEN / "upsampler_level_1.pth.tar"
    ).read_bytes()
    mirror = replace(address(server), weights_url=f"{server.url}/mirror/")
    directory = pull(model, folder, mirror, license_accepted=True)
    sources = {record.fetched_from for record in Origin.read(directory).files.values()}
    assert len(sources) == 4
    assert all("/mirror/" in source for source in sources)


def test_weights_have_the_type_in_which_the_original_loads_them(server, folder):
    model = small_model("5b_lyrics")
    serve_original(server, model)
    top, *rest = model.config.priors
    halved = replace(model.config, priors=(replace(top, half_weights=True), *rest))
    directory = fetch(replace(model, config=halved), folder, server)
    stacks = [
        prior.transformer.layers[0].mlp.input.weight.dtype
        for prior in load_directory(directory).priors
    ]
    assert stacks == [torch.float16, torch.float32, torch.float32]


def test_what_is_pulled_and_what_is_converted_are_the_same_bytes(server, folder, tmp_path):
    model = small_model("5b_lyrics")
    serve_original(server, model)
    top, *rest = model.config.priors
    halved = replace(top, half_weights=True)
    model = replace(model, config=replace(model.config, priors=(halved, *rest)))
    pulled = fetch(model, folder, server)
    source = OpenAIFiles(
        config=model.config,
        vqvae=GOLDEN / "vqvae.pth.tar",
        priors={
            Level.TOP: GOLDEN / "prior_5b_lyrics.pth.tar",
            Level.MIDDLE: GOLDEN / "upsampler_level_1.pth.tar",
            Level.BOTTOM: GOLDEN / "upsampler_level_0.pth.tar",
        },
        labels_dir=GOLDEN / "labels",
    )
    convert(source, tmp_path / "converted", described_as="files")
    files = sorted(pulled.glob("*.safetensors"))
    assert len(files) == 4
    for file in (*files, pulled / "config.json"):
        assert file.read_bytes() == (tmp_path / "converted" / file.name).read_bytes(), file.name


def test_progress_tells_name_bytes_and_size(model, server, folder):
    seen = {}
    fetch(model, folder, server, progress=lambda name, *counts: seen.update({name: counts}))
    size = len(server.files[TOP])
    assert seen["prior_level_2.pth.tar"] == (size, size)
    assert "v2_artist_ids.txt" in seen


def hold_place(models_dir, ready, end):
    with pulling_place(models_dir, "1b_lyrics"):
        ready.set()
        end.wait(300)
        os._exit(1)


def test_one_process_at_a_time_and_a_dead_one_is_in_nobody_s_way(model, server, folder):
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    process = context.Process(target=hold_place, args=(folder, ready, end))
    process.start()
    try:
        assert ready.wait(300)
        assert is_pulling(folder, "1b_lyrics")
        assert not is_pulling(folder, "5b")
        with pytest.raises(DownloadError, match="another process is fetching 1b_lyrics"):
            fetch(model, folder, server)
    finally:
        end.set()
        process.join(300)
    assert not is_pulling(folder, "1b_lyrics")
    fetch(model, folder, server)
    assert not is_pulling(folder, "1b_lyrics")


def pull_in_a_process(model, models_dir, origin):
    pull(model, models_dir, origin, license_accepted=True)


def test_a_killed_pull_leaves_no_model_and_loses_no_finished_part(model, server, folder):
    server.stalled = {MIDDLE}
    context = multiprocessing.get_context("spawn")
    arguments = (model, folder, address(server))
    process = context.Process(target=pull_in_a_process, args=arguments)
    process.start()
    try:
        deadline = time.monotonic() + 300
        while not server.asked(MIDDLE):
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ModelCatalog(folder).state("1b_lyrics") is ModelState.PULLING
    finally:
        process.kill()
        process.join(300)
        server.go_on.set()
    catalog = ModelCatalog(folder)
    assert (catalog.names(), catalog.state("1b_lyrics")) == ((), ModelState.ABSENT)
    server.stalled.clear()
    server.requests.clear()
    assert_same_weights(fetch(model, folder, server), model)
    assert {path for _, path, _ in server.requests} == {MIDDLE, "/models/5b/prior_level_0.pth.tar"}
    assert [file.name for file in folder.iterdir()] == ["1b_lyrics"]


def test_the_record_of_origin_is_readable(model, server, folder):
    directory = fetch(model, folder, server)
    values = json.loads((directory / "origin.json").read_text())
    assert values["source"] == f"openai {server.url}/models/"
    assert values["files"]["prior_top.safetensors"]["fetched_from"] == server.url + TOP
    assert Level.TOP.label in str(sorted(values["files"]))
