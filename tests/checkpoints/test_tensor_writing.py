"""A full disk is the system's error, whatever the libraries make of it."""

import errno
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import SafetensorError

from jukebox_core.checkpoints.tensor_writing import save_file, save_pickle

FULL = Path("/dev/full")


def test_a_full_disk_under_safetensors_is_an_oserror(tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")
    assert (caught.value.errno, caught.value.filename) == (
        errno.ENOSPC,
        str(tmp_path / "x.safetensors"),
    )


def test_another_fault_of_safetensors_stays_what_it_is(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise SafetensorError("a header that is too long")

    monkeypatch.setattr(safetensors.torch, "save_file", broken)
    with pytest.raises(SafetensorError):
        save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_torch_is_an_oserror():
    with FULL.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        save_pickle({"x": torch.zeros(100_000)}, file)
