"""Models in memory."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from worker.device import models
from worker.device.models import LoadedModel


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
        all_ask.wait(10)
        return model.vqvae

    with ThreadPoolExecutor(8) as pool:
        codecs = set(pool.map(ask, range(8)))
    assert (len(codecs), loaded) == (1, [tmp_path])
