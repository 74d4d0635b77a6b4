"""A repository of the hub, served here as the hub does it, with a model that transformers wrote."""

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from jukebox_core.checkpoints import load_directory
from jukebox_core.checkpoints.convert import convert, open_directory
from jukebox_core.checkpoints.hub import HubRepository, fetch_repository
from jukebox_core.checkpoints.huggingface import read_huggingface_config
from jukebox_core.checkpoints.pull import pull
from jukebox_core.errors import CheckpointError, DownloadError, LabelError
from jukebox_core.models.released import released_model

pytestmark = pytest.mark.hf

NAME = "openai/jukebox-small"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHARD = "pytorch_model-00002-of-"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A 1b-like model in shards, with label lists as transformers keeps them."""
    from tests.parity.transformers_models import build

    directory = tmp_path_factory.mktemp("written")
    build("1b").save_pretrained(directory, safe_serialization=False, max_shard_size="500KB")
    artists = {"the sawtooths": 3, "somebody": 1, "the_sawtooths.v2": 5}
    genres = {"drone": 2, "drone.v2": 4}
    (directory / "artists.json").write_text(json.dumps(artists))
    (directory / "genres.json").write_text(json.dumps(genres))
    (directory / "tokenizer_config.json").write_text(json.dumps({"version": ["v3", "v2", "v2"]}))
    (directory / "README.md").write_text("not wanted")
    return directory


@pytest.fixture
def hub(file_server, written):
    """The server, with all files of the repository at one commit."""
    siblings = []
    for file in sorted(written.iterdir()):
        content = file.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        is_large = file.suffix == ".bin"
        lfs = {"sha256": sha256, "size": len(content), "pointerSize": 130} if is_large else None
        siblings.append({"rfilename": file.name, "size": len(content), "lfs": lfs})
        path = f"/{NAME}/resolve/{COMMIT}/{file.name}"
        file_server.files[path] = content
        file_server.etags[path] = f'"{sha256}"'
        file_server.headers[path] = {"X-Repo-Commit": COMMIT}
    info = {"id": NAME, "sha": COMMIT, "siblings": siblings}
    set_info(file_server, info)
    return file_server


def set_info(hub, info):
    """What the hub says of its newest commit, and of this commit by its name."""
    for path in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/{COMMIT}"):
        hub.files[path] = json.dumps(info).encode()


@pytest.fixture
def repository(hub):
    return HubRepository(name=NAME, endpoint=hub.url)


@pytest.fixture
def model(written):
    config = replace(read_huggingface_config(written), licence="theirs", name="small")
    return replace(released_model("1b_lyrics"), name="small", config=config)


def path_of_shard(hub):
    return next(path for path in hub.files if SHARD in path)


def fetched(hub):
    return {path.rpartition("/")[2] for method, path, _ in hub.requests if method == "GET"}


def assert_same_weights(one, other):
    ours, theirs = load_directory(one), load_directory(other)
    for left, right in zip((ours.vqvae, *ours.priors), (theirs.vqvae, *theirs.priors), strict=True):
        weights = left.state_dict()
        for name, tensor in right.state_dict().items():
            assert torch.equal(weights[name], tensor), name


def test_a_repository_becomes_a_model_of_our_own_format(
    hub, repository, model, written, tmp_path, recwarn
):
    directory = pull(model, tmp_path / "models", repository, license_accepted=True)
    assert_same_weights(directory, written)
    loaded = load_directory(directory)
    assert loaded.config == model.config
    assert loaded.tokenizer.vocabularies["v2"].artists == {"the_sawtooths": 5}
    assert "README.md" not in fetched(hub)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["small"]


def test_a_shard_of_another_content_is_thrown_away(hub, repository, written, tmp_path):
    path = path_of_shard(hub)
    hub.files[path] = hub.files[path][:-1] + b"!"
    with pytest.raises(DownloadError, match=r"pytorch_model-00002-of.* has SHA-256"):
        fetch_repository(repository, tmp_path)
    assert not list(tmp_path.glob(f"{SHARD}*"))


def test_what_came_before_the_hub_vanished_is_not_fetched_again(
    hub, repository, model, written, tmp_path
):
    content = hub.files.pop(path := path_of_shard(hub))
    with pytest.raises(DownloadError, match="cannot be fetched"):
        pull(model, tmp_path, repository, license_accepted=True)
    hub.files[path] = content
    hub.requests.clear()
    assert_same_weights(pull(model, tmp_path, repository, license_accepted=True), written)
    assert "config.json" not in fetched(hub)


def test_an_unknown_repository_is_one_sentence(hub, tmp_path):
    with pytest.raises(DownloadError, match=r"openai/nothing cannot be fetched"):
        fetch_repository(HubRepository(name="openai/nothing", endpoint=hub.url), tmp_path)


def test_a_hub_that_is_away_is_one_sentence(tmp_path):
    repository = HubRepository(name=NAME, endpoint="http://127.0.0.1:9")
    with pytest.raises(DownloadError) as caught:
        fetch_repository(repository, tmp_path)
    assert str(caught.value) == (
        f"http://127.0.0.1:9/{NAME} cannot be fetched: Failed to establish a new connection: "
        "[Errno 111] Connection refused. Check the network and HTTPS_PROXY; the same command "
        "resumes the download"
    )


def test_weights_that_do_not_fit_the_released_model_are_thrown_away(
    hub, repository, model, tmp_path
):
    other = replace(model, config=released_model("5b").config)
    hub.files[f"/{NAME}/resolve/{COMMIT}/artists.json"] = b'{"a.v2": 1}'
    hub.etags[f"/{NAME}/resolve/{COMMIT}/artists.json"] = '"other"'
    info = json.loads(hub.files[f"/api/models/{NAME}"])
    next(s for s in info["siblings"] if s["rfilename"] == "artists.json")["size"] = 11
    set_info(hub, info)
    with pytest.raises(CheckpointError, match=r"misshapen: .*thrown away"):
        pull(other, tmp_path, repository, license_accepted=True)
    assert not list(tmp_path.rglob("*.bin"))


def test_a_repository_without_label_lists_is_refused(hub, repository, model, tmp_path):
    info = json.loads(hub.files[f"/api/models/{NAME}"])
    info["siblings"] = [s for s in info["siblings"] if s["rfilename"] != "genres.json"]
    set_info(hub, info)
    with pytest.raises(LabelError, match=r"no artists.json and genres.json"):
        pull(model, tmp_path, repository, license_accepted=True)


def test_a_directory_of_transformers_is_converted(written, tmp_path):
    convert(open_directory(written), tmp_path / "new", described_as=str(written))
    assert_same_weights(tmp_path / "new", written)


def test_names_that_lead_elsewhere_are_not_fetched(hub, repository, model, written, tmp_path):
    info = json.loads(hub.files[f"/api/models/{NAME}"])
    for name in ("pytorch_model/../../out.bin", "pytorch_model*.bin"):
        info["siblings"].append({"rfilename": name, "size": 3, "lfs": None})
        path = f"/{NAME}/resolve/{COMMIT}/{name}"
        hub.files[path], hub.headers[path] = b"bad", {"X-Repo-Commit": COMMIT}
    set_info(hub, info)
    folder = tmp_path / "in" / "here"
    with pytest.raises(DownloadError):  # the second is a file's name like any other, and is absent
        fetch_repository(repository, folder)
    assert not list(tmp_path.rglob("out.bin"))
    assert "out.bin" not in fetched(hub)


def test_a_hub_that_vanishes_in_between_is_one_sentence(hub, repository, tmp_path):
    fetch_repository(repository, tmp_path)
    next(tmp_path.glob(f"{SHARD}*")).unlink()
    del hub.files[f"/api/models/{NAME}/revision/{COMMIT}"]
    with pytest.raises(DownloadError, match="cannot be fetched"):
        fetch_repository(repository, tmp_path)
