"""Weights files, and files that only pretend."""

import pathlib
import pickle

import pytest
import torch
from safetensors.torch import save_file

from jukebox_core.checkpoints import sha256_of
from jukebox_core.checkpoints.tensor_files import open_tensors
from jukebox_core.errors import CheckpointError


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("as_zip", [True, False], ids=["new format", "format before torch 1.6"])
def test_checkpoints_of_old_and_new_releases_are_read(tmp_path, as_zip):
    tensor = torch.randn(3, 4)
    torch.save(
        {"model": {"x": tensor}, "step": 9, "hps": {"width": 4}},
        tmp_path / "prior.pth.tar",
        _use_new_zipfile_serialization=as_zip,
    )
    (stored,) = open_tensors(tmp_path / "prior.pth.tar").values()
    assert (stored.shape, stored.dtype) == ((3, 4), torch.float32)
    assert torch.equal(stored.read(), tensor)


@pytest.mark.parametrize("as_zip", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_runs_none(tmp_path, as_zip):
    torch.save(
        {"model": {"x": torch.zeros(1)}, "hps": Bomb(tmp_path / "touched")},
        tmp_path / "bomb.pth.tar",
        _use_new_zipfile_serialization=as_zip,
    )
    with pytest.raises(CheckpointError, match="holds more than weights, and nothing in it was run"):
        open_tensors(tmp_path / "bomb.pth.tar")
    assert not (tmp_path / "touched").exists()


def test_a_bare_pickle_is_refused_and_runs_no_code(tmp_path):
    (tmp_path / "bomb.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "touched"), protocol=2))
    with pytest.raises(CheckpointError, match=r"bomb\.bin"):
        open_tensors(tmp_path / "bomb.bin")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("suffix", [".pth.tar", ".bin", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 half an archive"])
def test_what_is_no_weights_file_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="broken"):
        open_tensors(path)


def test_a_download_that_was_cut_short_is_refused(tmp_path):
    save_file({"x": torch.zeros(1000)}, tmp_path / "whole.safetensors")
    torch.save({"x": torch.zeros(1000)}, tmp_path / "whole.bin")
    for name in ("whole.safetensors", "whole.bin"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(CheckpointError, match="whole"):
            open_tensors(tmp_path / name)


@pytest.mark.parametrize("content", [[1, 2], {}, torch.zeros(2)])
def test_a_file_without_a_table_of_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.bin")
    with pytest.raises(CheckpointError, match="no table of tensors"):
        open_tensors(tmp_path / "other.bin")


def test_other_things_among_the_tensors_are_named(tmp_path):
    torch.save({"x": torch.zeros(1), "epoch": 3}, tmp_path / "mixed.bin")
    with pytest.raises(CheckpointError, match="other things than tensors: epoch"):
        open_tensors(tmp_path / "mixed.bin")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weights file .*gone\.safetensors"):
        open_tensors(tmp_path / "gone.safetensors")


def test_a_file_is_known_by_its_hash(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")
