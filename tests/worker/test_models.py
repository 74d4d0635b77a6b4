"""Models in memory."""

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from jobs.setting_groups import InvalidSettings
from worker.device import models
from worker.device.models import LoadedModel, choose_device


def test_threads_that_ask_at_once_load_the_codec_once(monkeypatch, tmp_path):
    loaded, all_ask = [], threading.Barrier(8)

    def load(directory, *, device):
        loaded.append(directory)
        # Long enough for every thread to come and find nothing.
        threading.Event().wait(0.05)
        return torch.nn.Identity()

    monkeypatch.setattr(models, "load_vqvae_of", load)
    model = LoadedModel(
        tmp_path, device=torch.device("cpu"), dtype=torch.float32, max_rows=1, native_threads=1
    )

    def ask(_):
        all_ask.wait(60)
        return model.vqvae

    with ThreadPoolExecutor(8) as pool:
        codecs = set(pool.map(ask, range(8)))
    assert (len(codecs), loaded) == (1, [tmp_path])


class TestWithoutAGpu:
    @pytest.fixture(autouse=True)
    def no_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def test_a_wanted_gpu_is_missed_in_one_sentence(self, monkeypatch):
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        with pytest.raises(InvalidSettings, match=r"JUKEBOX_DEVICE=cuda: PyTorch finds no GPU\."):
            choose_device("cuda")

    def test_a_build_without_cuda_is_named(self, monkeypatch):
        monkeypatch.setattr(torch.version, "cuda", None)
        with pytest.raises(InvalidSettings, match=r"is a build without CUDA\."):
            choose_device("cuda:1")

    def test_what_pytorch_says_of_the_driver_is_passed_on(self, monkeypatch):
        def complain():
            warnings.warn("The NVIDIA driver on your system is too old", stacklevel=1)
            return False

        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", complain)
        with pytest.raises(InvalidSettings, match=r"cuda: The NVIDIA driver on your system is too"):
            choose_device("cuda")

    def test_auto_and_cpu_go_on(self):
        assert choose_device("cpu").type == "cpu"
        assert choose_device("auto").type in ("cpu", "mps")


def test_a_gpu_beyond_the_last_is_missed_with_their_number(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InvalidSettings, match=r"JUKEBOX_DEVICE=cuda:2: PyTorch finds 2 GPUs\."):
        choose_device("cuda:2")


@pytest.mark.redis
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_worker_without_its_gpu_ends_with_a_sentence_and_no_traceback(service):
    done = subprocess.run(
        [sys.executable, "-m", "worker"],
        env=service.environment(JUKEBOX_DEVICE="cuda"),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("The worker cannot start. JUKEBOX_DEVICE=cuda: ")
