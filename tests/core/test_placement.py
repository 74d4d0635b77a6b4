"""Where weights go is decided by arithmetic, and changes no number."""

import pytest
import torch

from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import ConfigError
from jukebox_core.models import placed_priors
from jukebox_core.models.device_memory import prior_needs
from jukebox_core.models.placed_priors import PlacedPriors, decide_placement, home_device
from jukebox_core.models.placement import Placement, parse_placement
from jukebox_core.models.released import released_config
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level
from tests.engine.windows import Draw, golden_config

TOP = "prior_5b_lyrics"
CPU = torch.device("cpu")
META = torch.device("meta")
GIB = 2**30


def place(name, **wish):
    """Where the weights of a released model go on a GPU."""
    return decide_placement(
        released_config(name), device=torch.device("cuda"), dtype=torch.float16, **wish
    )


@pytest.mark.parametrize("wanted", list(Placement))
def test_a_person_may_decide(wanted):
    for wish in (wanted, wanted.value):
        assert parse_placement(wish) is wanted
        assert place("5b_lyrics", wanted=wish) is wanted
    with pytest.raises(ConfigError, match="'fast' is not known: auto, resident, one_at_a_time"):
        place("5b_lyrics", wanted="fast")


def test_a_cpu_has_nowhere_to_move_weights_to():
    config = golden_config(TOP)
    assert decide_placement(config, device=CPU, dtype=torch.float32) is Placement.RESIDENT


@pytest.mark.parametrize(
    ("name", "card_gib", "placement"),
    [
        ("5b_lyrics", 1, Placement.OFFLOADED),
        ("5b_lyrics", 80, Placement.RESIDENT),
        ("5b_lyrics", 16, Placement.ONE_AT_A_TIME),
        ("5b_lyrics", 8, Placement.OFFLOADED),
        ("1b_lyrics", 12, Placement.RESIDENT),
        ("1b_lyrics", 6, Placement.ONE_AT_A_TIME),
    ],
)
def test_released_models_on_cards_that_people_have(name, card_gib, placement, monkeypatch):
    monkeypatch.setattr(placed_priors, "free_bytes_of", lambda _device: card_gib * GIB)
    assert place(name) is placement


def test_int8_weights_need_half_of_what_half_precision_needs():
    top = released_config("5b_lyrics").prior(Level.TOP)
    half, int8 = (prior_needs(top, torch.float16, int8_weights=wish) for wish in (False, True))
    assert int8.weight_bytes == pytest.approx(half.weight_bytes / 2, rel=0.05)
    assert int8.row_bytes == half.row_bytes


def test_needs_are_those_of_a_prior_that_is_loaded():
    config = golden_config(TOP).prior(Level.MIDDLE)
    prior = JukeboxPrior(config).set_compute_dtype(torch.float16)
    needs = prior_needs(config, torch.float16)
    assert needs.weight_bytes == sum(tensor.nbytes for tensor in prior.parameters())
    assert needs.row_bytes == prior.allocate_cache(1).num_bytes
    # The top of 5b_lyrics in half precision, as measured on the original: 11.28 GB.
    top = prior_needs(released_config("5b_lyrics").prior(Level.TOP), torch.float16)
    assert top.weight_bytes == pytest.approx(11.45e9, rel=0.02)


class Loads:
    """Loads fresh priors of the golden model, and remembers which and where to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Level, torch.device]] = []

    def __call__(self, level: Level, device: torch.device) -> JukeboxPrior:
        self.asked.append((level, device))
        config: JukeboxConfig = golden_config(TOP)
        prior = JukeboxPrior(config.prior(level)).eval()
        reference = Draw(TOP, level).prior
        prior.load_state_dict(reference.state_dict())
        return prior.to(device)


def devices_of(prior):
    return {tensor.device.type for tensor in prior.parameters()}


def test_one_at_a_time_moves_weights_there_and_back_unharmed():
    loads = Loads()
    priors = PlacedPriors(loads, device=META, placement=Placement.ONE_AT_A_TIME)
    before = {}
    for level in COARSE_TO_FINE:
        assert devices_of(priors.loaded(level)) == {"cpu"}
        before[level] = {n: t.clone() for n, t in priors.loaded(level).state_dict().items()}
    for level in (Level.TOP, Level.BOTTOM, Level.BOTTOM, Level.TOP):
        assert devices_of(priors[level]) == {"meta"}
        others = [each for each in COARSE_TO_FINE if each is not level]
        assert all(devices_of(priors.loaded(other)) == {"cpu"} for other in others)
    priors.to_host()
    for level, tensors in before.items():
        after = priors.loaded(level).state_dict()
        assert all(torch.equal(after[name], tensor) for name, tensor in tensors.items())
    assert loads.asked == [(level, CPU) for level in COARSE_TO_FINE]


def test_coming_home_copies_nothing():
    priors = PlacedPriors(Loads(), device=META, placement=Placement.ONE_AT_A_TIME)
    places = [p.data_ptr() for p in priors.loaded(Level.TOP).parameters()]
    assert priors[Level.TOP]
    priors.to_host()
    assert [p.data_ptr() for p in priors.loaded(Level.TOP).parameters()] == places


def test_residents_are_loaded_to_the_device_when_first_asked_for_and_stay():
    loads = Loads()
    priors = PlacedPriors(loads, device=META, placement=Placement.RESIDENT)
    assert loads.asked == []
    assert priors[Level.MIDDLE] is priors[Level.MIDDLE]
    assert loads.asked == [(Level.MIDDLE, META)]
    assert home_device(Placement.OFFLOADED, META) == CPU
    assert set(priors) == set(Level)
    assert len(priors) == 3
    assert Level.TOP in priors


@pytest.mark.parametrize("placement", list(Placement))
@pytest.mark.parametrize("level", list(Level))
def test_placement_changes_no_number(level, placement):
    priors = PlacedPriors(Loads(), device=CPU, placement=placement)
    window = Draw(TOP, level, num_prefix=5, num_new=20)
    wanted = window.slowly()
    placed = _DrawWith(priors[level], window)
    assert placed.slowly() == wanted


@pytest.mark.parametrize("placement", list(Placement))
def test_placement_changes_no_number_of_int8_weights(placement):
    loads = Loads()
    priors = PlacedPriors(
        lambda level, device: loads(level, device).use_int8_weights(),
        device=CPU,
        placement=placement,
    )
    window = Draw(TOP, Level.TOP, num_prefix=5, num_new=20)
    wanted = _DrawWith(loads(Level.TOP, CPU).use_int8_weights(), window).slowly()
    assert _DrawWith(priors[Level.TOP], window).slowly() == wanted
    assert _DrawWith(priors[Level.TOP], window).slowly() == wanted


class _DrawWith(Draw):
    """The same window, drawn by another prior than that of the golden model."""

    def __init__(self, prior: JukeboxPrior, window: Draw) -> None:
        values = {name: getattr(window, name) for name in window.__dataclass_fields__}
        super().__init__(**values)
        object.__setattr__(self, "_prior", prior)

    @property
    def prior(self) -> JukeboxPrior:
        return self._prior


def test_offloaded_projections_are_on_the_host_but_for_their_call():
    priors = PlacedPriors(Loads(), device=CPU, placement=Placement.OFFLOADED)
    plain = {n: t.clone() for n, t in priors.loaded(Level.TOP).state_dict().items()}
    prior = priors[Level.TOP]
    assert prior.transformer.layers[0].mlp.input.weight.is_meta
    assert not prior.token_embedding.weight.is_meta
    codes = torch.zeros(1, prior.config.context_tokens, dtype=torch.int64)
    labels = torch.as_tensor(Draw(TOP, Level.TOP)._labels())[None]
    wanted = Draw(TOP, Level.TOP).prior(codes, labels).logits
    assert torch.equal(prior(codes, labels).logits, wanted)
    assert prior.transformer.layers[0].mlp.input.weight.is_meta
    priors.to_host()
    whole = priors.loaded(Level.TOP).state_dict()
    assert all(torch.equal(whole[name], tensor) for name, tensor in plain.items())
    assert torch.equal(priors[Level.TOP](codes, labels).logits, wanted)
