"""The same prior on a GPU: same numbers, no waiting, and a step that a CUDA graph can hold."""

import copy

import pytest
import torch

from tests.prior.golden import PRIORS, expected, golden_prior, upper_codes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def _on_gpu(name, dtype=torch.float32):
    golden = expected()
    prior = copy.deepcopy(golden_prior(name)).cuda().set_compute_dtype(dtype)
    upper = upper_codes(name, 0)
    tensors = (golden[f"{name}.z_0"], golden[f"{name}.y_0"])
    return prior, *(x.cuda() for x in tensors), None if upper is None else upper.cuda()


def _music_logits(name):
    return expected()[f"{name}.preds_0"][:, golden_prior(name).config.num_prefix_tokens :]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", PRIORS)
def test_windows_and_steps_on_the_gpu_equal_the_original(name, dtype):
    prior, codes, labels, upper = _on_gpu(name, dtype)
    want = _music_logits(name)
    whole = prior(codes, labels, upper).logits[:, prior.config.num_prefix_tokens :]
    cache, slots = prior.allocate_cache(3), torch.tensor([2, 0], device="cuda")
    steps = [prior.prefill(codes[:, :9], prior.condition(labels, upper), cache, slots)]
    for position in range(10, 64):
        ids = prior.codes_to_ids(codes[:, position - 1])
        steps.append(prior.decode(ids, torch.full_like(slots, position), cache, slots))
    share = {torch.float32: 2e-5, torch.float16: 0.01, torch.bfloat16: 0.08}[dtype]
    atol = share * want.abs().max().item()
    torch.testing.assert_close(whole.cpu(), want, atol=atol, rtol=0)
    torch.testing.assert_close(torch.stack(steps, 1).cpu(), want[:, 9:], atol=atol, rtol=0)


@pytest.mark.parametrize("name", PRIORS)
def test_a_decode_step_never_waits_and_fits_into_a_graph(name):
    prior, codes, labels, upper = _on_gpu(name)
    cache, slots = prior.allocate_cache(2), torch.tensor([1, 0], device="cuda")
    prior.prefill(codes[:, :9], prior.condition(labels, upper), cache, slots)
    ids, positions = prior.codes_to_ids(codes[:, 9]), torch.full_like(slots, 10)
    torch.cuda.set_sync_debug_mode("error")
    try:
        eager = prior.decode(ids, positions, cache, slots)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        prior.decode(ids, positions, cache, slots)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = prior.decode(ids, positions, cache, slots)
    graph.replay()
    torch.testing.assert_close(captured, eager, atol=1e-5, rtol=0)
