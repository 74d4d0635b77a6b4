"""Int8 weight-only: a quarter of the bytes, and logits that stay near, in torch and in C."""

import copy
import shutil

import pytest
import torch

from jukebox_core.engine import Engine
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.prior.int8_weights import Int8Convolution, Int8Projection, quantize
from jukebox_core.prior.projection import Projection
from jukebox_core.units import Level
from tests.backends.test_native_step import logits_alone_and_in_company, native, odd_prior
from tests.engine.windows import Draw, run_to_end
from tests.prior.golden import PRIORS, config_of, expected, golden_prior, upper_codes

needs_a_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def int8_prior(name) -> JukeboxPrior:
    return copy.deepcopy(golden_prior(name)).use_int8_weights()


def test_a_weight_is_off_by_at_most_half_a_level_of_its_channel():
    weight = torch.randn(40, 7, generator=torch.Generator().manual_seed(1))
    weight *= torch.tensor([1e-3, 1.0, 50.0, 0.1, 2.0, 1.0, 0.0])
    levels, scale = quantize(weight)
    assert levels.dtype == torch.int8
    assert levels.abs().amax(dim=0).tolist() == [127] * 6 + [0]
    assert ((levels * scale - weight).abs() <= 0.5001 * scale).all()


def test_a_weight_between_two_levels_goes_to_the_nearer_one():
    levels, scale = quantize(torch.tensor([[127.0], [2.4], [2.6], [-2.6], [-127.0]]))
    assert scale.item() == 1
    assert levels.flatten().tolist() == [127, 2, 3, -3, -127]


@pytest.mark.parametrize(
    "convolution",
    [
        torch.nn.Conv1d(5, 7, kernel_size=3, padding=3, dilation=3),
        torch.nn.ConvTranspose1d(5, 7, kernel_size=4, stride=2, padding=1),
    ],
)
def test_a_convolution_in_int8_is_that_of_its_weight_multiplied_out(convolution):
    convolution.weight.data[:, 0] *= 50.0
    small = Int8Convolution(convolution)
    axis = small.channel_axis
    assert small.scale.shape == (7,)
    scale = small.scale.view([-1 if dim == axis else 1 for dim in range(3)])
    assert ((small.weight * scale - convolution.weight).abs() <= 0.5001 * scale).all()
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(3))
    near = small(x)
    assert not torch.equal(near, convolution(x))
    convolution.weight.data = small.weight * scale
    assert torch.equal(near, convolution(x))


@pytest.mark.parametrize("name", PRIORS)
def test_the_projections_of_stacks_and_the_convolutions_are_int8_and_four_times_smaller(name):
    before = golden_prior(name).state_dict()
    after = int8_prior(name).state_dict()
    for key, weight in after.items():
        places = (".attention.", ".mlp.", "conditioner.input.", "conditioner.stages.")
        is_int8 = key.endswith("weight") and any(place in key for place in places)
        assert weight.dtype == (torch.int8 if is_int8 else torch.float32), key
        if is_int8:
            assert 4 * weight.nbytes == before[key].nbytes
    assert all(key in before or key.endswith(".scale") for key in after)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", PRIORS)
def test_int8_logits_stay_near(name, dtype):
    golden = expected()
    prior = int8_prior(name).set_compute_dtype(dtype)
    assert prior.compute_dtype == dtype
    codes, labels, upper = golden[f"{name}.z_0"], golden[f"{name}.y_0"], upper_codes(name, 0)
    logits = prior(codes, labels, upper).logits
    want = golden[f"{name}.preds_0"]
    assert not torch.equal(logits, want)
    assert (logits - want).abs().max() < 0.08 * want.abs().max()


def test_the_order_of_dtype_and_int8_does_not_matter():
    first = int8_prior("prior_5b_lyrics").set_compute_dtype(torch.bfloat16)
    last = copy.deepcopy(golden_prior("prior_5b_lyrics")).set_compute_dtype(torch.bfloat16)
    assert first.transformer.stack()[0].mlp.input.scale.dtype == torch.float32
    assert {name: value.dtype for name, value in last.use_int8_weights().state_dict().items()} == {
        name: value.dtype for name, value in first.state_dict().items()
    }


def test_int8_weights_are_planned_on_the_meta_device():
    with torch.device("meta"):
        prior = JukeboxPrior(config_of("prior_5b_lyrics")).use_int8_weights()
    assert prior.has_int8_weights
    assert prior.lyric_encoder.transformer.stack()[0].mlp.input.weight.dtype == torch.int8
    assert prior.use_int8_weights() is prior


def multiplied_out(prior: JukeboxPrior) -> JukeboxPrior:
    """The same numbers as fp32 weights."""
    wide = copy.deepcopy(prior)
    for parent in list(wide.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Int8Projection):
                projection = Projection(*child.weight.shape)
                projection.weight.data = child.computed_weight()
                projection.bias.data = child.bias.data
                setattr(parent, name, projection)
    return wide


@pytest.mark.parametrize("name", PRIORS)
def test_the_plain_step_gives_to_the_bit_what_its_weights_multiplied_out_give(name):
    golden = expected()
    codes, labels, upper = golden[f"{name}.z_0"], golden[f"{name}.y_0"], upper_codes(name, 0)
    prior = int8_prior(name)
    wide = multiplied_out(prior)
    assert torch.equal(prior(codes, labels, upper).logits, wide(codes, labels, upper).logits)


@needs_a_compiler
@pytest.mark.parametrize("name", ["odd", *PRIORS])
def test_the_native_step_gives_what_the_plain_one_gives(name):
    """Nearly: it rounds activations, if to thousands of levels."""
    if name == "odd":
        prior = odd_prior().use_int8_weights()
        codes = torch.randint(0, 50, (3, 35), generator=torch.Generator().manual_seed(5))
        labels, upper = torch.zeros(3, 0, dtype=torch.int64), None
    else:
        prior, golden = int8_prior(name), expected()
        codes, labels = golden[f"{name}.z_0"], golden[f"{name}.y_0"]
        upper = upper_codes(name, 0)
    wanted = prior(codes, labels, upper).logits[:, prior.config.num_prefix_tokens :]
    prior = native(prior)
    cache, slots = prior.allocate_cache(len(codes)), torch.arange(len(codes)).flip(0)
    prior.prefill(codes[:, :4], prior.condition(labels, upper), cache, slots)
    for position in range(5, 35):
        positions = torch.full((len(codes),), position)
        ids = prior.codes_to_ids(codes[:, position - 1])
        logits = prior.decode(ids, positions, cache, slots)
        atol = 1e-4 * wanted.abs().max().item()
        torch.testing.assert_close(logits, wanted[:, position], atol=atol, rtol=0)


@needs_a_compiler
@pytest.mark.parametrize("num_rows", [1, 2, 3, 5, 6, 7, 13])
def test_logits_of_an_int8_row_are_the_same_to_the_bit_in_any_company(num_rows):
    prior = native(odd_prior().use_int8_weights())
    alone, together = logits_alone_and_in_company(prior, num_rows)
    assert torch.equal(alone, together)


@needs_a_compiler
def test_weights_that_become_int8_between_two_steps_are_found():
    prior = native(golden_prior("prior_5b"))
    golden, row = expected(), torch.tensor([0])
    codes, labels = golden["prior_5b.z_0"][:1], golden["prior_5b.y_0"][:1]
    cache = prior.allocate_cache(1)
    prior.prefill(codes[:, :4], prior.condition(labels), cache, row)
    prior.decode(codes[:, 4], row + 5, cache, row)
    before = prior.backend.proof_key(1)
    prior.use_int8_weights()
    prior.decode(codes[:, 5], row + 6, cache, row)
    assert prior.backend.proof_key(1) != before


@needs_a_compiler
@pytest.mark.parametrize("backend", ["torch", "native"])
def test_an_int8_song_does_not_depend_on_its_company(backend):
    draws = [Draw("prior_5b_lyrics", Level.TOP, num_new=30, seed=seed) for seed in range(5)]
    prior = int8_prior("prior_5b_lyrics")
    found = []
    for max_rows in (1, 4):
        engine = Engine({Level.TOP: prior}, max_rows=max_rows, backend=backend)
        for number, window in enumerate(draws):
            engine.submit(window.sequence(f"{number}"))
        found.append(run_to_end(engine))
    assert found[0] == found[1]


@pytest.fixture
def large_from_width_8(monkeypatch):
    """Golden priors count as large: in int8 on a CPU they keep keys and values as float16."""
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 8)


def test_only_large_priors_with_int8_weights_keep_keys_and_values_in_half_precision(
    large_from_width_8,
):
    whole, int8 = golden_prior("prior_5b"), int8_prior("prior_5b")
    assert whole.allocate_cache(1).layers[0].dtype is torch.float32
    cache = int8.allocate_cache(1)
    assert {strips.dtype for strips in cache.layers} == {torch.float16}
    assert cache.position_embedding.dtype is torch.float32
    with torch.device("meta"):
        released = JukeboxPrior(released_config("1b_lyrics").priors[2]).use_int8_weights()
    halved = released.allocate_cache(1, device="cpu")
    assert halved.layers[0].dtype is torch.float16
    assert halved.num_bytes == pytest.approx(0.46e9, rel=0.05)


@needs_a_compiler
@pytest.mark.parametrize("name", ["odd", *PRIORS])
def test_the_native_step_keeps_in_half_precision_what_the_plain_one_keeps(name, large_from_width_8):
    prior = odd_prior().use_int8_weights() if name == "odd" else int8_prior(name)
    codes = torch.randint(0, 50, (3, 35), generator=torch.Generator().manual_seed(5))
    labels, upper = torch.zeros(3, 0, dtype=torch.int64), None
    if name != "odd":
        codes, labels = expected()[f"{name}.z_0"], expected()[f"{name}.y_0"]
        upper = upper_codes(name, 0)
    slots = torch.arange(len(codes)).flip(0)
    caches, logits = [], []
    for each in (prior, native(prior)):
        cache = each.allocate_cache(len(codes))
        each.prefill(codes[:, :4], each.condition(labels, upper), cache, slots)
        for position in range(5, 35):
            positions = torch.full((len(codes),), position)
            ids = each.codes_to_ids(codes[:, position - 1])
            last = each.decode(ids, positions, cache, slots)
        caches.append(cache)
        logits.append(last)
    for plain, in_c in zip(caches[0].layers, caches[1].layers, strict=True):
        assert plain.dtype is in_c.dtype is torch.float16
        # Rounded to the nearest by both, of numbers that differ by rounding themselves.
        atol = 2e-3 * plain.abs().max().item()
        torch.testing.assert_close(in_c, plain, rtol=0, atol=atol)
    largest = logits[0].abs().max().item()
    torch.testing.assert_close(logits[1], logits[0], atol=2e-3 * largest, rtol=0)
