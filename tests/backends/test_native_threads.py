"""Several threads compute each token of a large prior together, and nobody can tell."""

import copy
import os
import shutil
import threading
from contextlib import contextmanager

import pytest
import torch

from jukebox_core.config import AttentionKind
from jukebox_core.prior import JukeboxPrior
from tests.backends.on_backend import OnBackend
from tests.backends.test_native_step import logits_alone_and_in_company, odd_prior
from tests.backends.test_native_window import in_c, windows_of
from tests.prior.golden import PRIORS, golden_prior

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@contextmanager
def threads(number):
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def every_prior_is_large(monkeypatch):
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 0)


def prior_named(name, precision) -> JukeboxPrior:
    prior = odd_prior() if name == "odd" else copy.deepcopy(golden_prior(name))
    return prior.use_int8_weights() if precision == "int8" else prior


@pytest.mark.parametrize(
    ("name", "precision"), [("prior_5b_lyrics", "fp32"), ("upsampler_level_0", "int8")]
)
def test_codes_are_the_same_with_any_number_of_threads_in_a_token(name, precision, monkeypatch):
    prior = prior_named(name, precision)
    wanted = in_c(prior, name, 20, 1)
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 0)
    for num_threads in (1, 3):
        with threads(num_threads):
            assert (in_c(prior, name, 20, num_threads) == wanted).all()


@pytest.mark.usefixtures("every_prior_is_large")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("num_rows", [1, 6])
def test_logits_of_a_row_are_the_same_in_any_company_of_rows_and_threads(num_rows, precision):
    prior = OnBackend(prior_named("odd", precision), "native")
    with threads(1):
        wanted = logits_alone_and_in_company(prior, num_rows)
    with threads(3):
        found = logits_alone_and_in_company(prior, num_rows)
    for each in (*wanted, *found):
        assert torch.equal(each, wanted[0])


def kept(prior, cache, layer):
    """Without the place that is never read, where what is lost is written by any thread."""
    strips = cache.layers[layer]
    is_prefix = prior.config.transformer.layers[layer] is AttentionKind.LYRIC_PREFIX
    return strips[:, :-1] if is_prefix else strips


@pytest.mark.usefixtures("every_prior_is_large")
@pytest.mark.parametrize("name", PRIORS)
def test_a_prefix_leaves_the_same_cache_with_any_number_of_threads(name):
    prior = OnBackend(prior_named(name, "fp32"), "native")
    labels, codes, upper = windows_of(name, prior.config.context_tokens - 1)
    conditioning = prior.condition(labels, upper)
    slots = torch.tensor([2, 0])
    left = []
    for num_threads in (1, 4):
        cache = prior.allocate_cache(3)
        with threads(num_threads):
            logits = prior.prefill(codes, conditioning, cache, slots)
        left.append((logits, *(kept(prior, cache, layer) for layer in range(len(cache.layers)))))
    for one, other in zip(*left, strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("every_prior_is_large")
def test_threads_end_with_their_call_and_a_fork_amid_them_ends_too():
    """A worker forks children while it samples: they have none of the threads, and need none."""
    prior, stop = prior_named("prior_5b", "fp32"), threading.Event()
    in_c(prior, "prior_5b", 20, 3)  # torch keeps threads of its own
    before = os.listdir("/proc/self/task")
    in_c(prior, "prior_5b", 20, 3)
    assert os.listdir("/proc/self/task") == before

    def sample():
        while not stop.is_set():
            in_c(prior, "prior_5b", 20, 3)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if not child:
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        stop.set()
        thread.join()
