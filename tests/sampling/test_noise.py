import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core.errors import SamplingError
from jukebox_core.sampling.noise import CounterNoise, philox4x32
from jukebox_core.units import Level
from tests.parity.table_noise import TableNoise

words = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_gives_the_published_answers(counter, key, expected):
    """The known answers that its authors publish with Random123."""
    key0, key1 = _words(key)
    mixed = philox4x32(np.array([_words(counter)], dtype=np.uint32), (key0, key1))
    assert mixed.tolist() == [_words(expected)]


def _words(text):
    return [int(word, 16) for word in text.split()]


def philox_in_plain_integers(counter, key):
    c0, c1, c2, c3 = counter
    key0, key1 = key
    for _ in range(10):
        product0, product1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (
            (product1 >> 32) ^ c1 ^ key0,
            product1 % 2**32,
            (product0 >> 32) ^ c3 ^ key1,
            product0 % 2**32,
        )
        key0, key1 = (key0 + 0x9E3779B9) % 2**32, (key1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


@given(st.lists(st.tuples(words, words, words, words), min_size=1, max_size=5), words, words)
def test_the_vectorised_philox_equals_plain_integers(counters, key0, key1):
    mixed = philox4x32(np.array(counters, dtype=np.uint32), (key0, key1))
    assert mixed.tolist() == [philox_in_plain_integers(row, (key0, key1)) for row in counters]


def rows(*numbers):
    return torch.tensor(numbers, dtype=torch.int64)


@given(
    st.integers(0, 2**64 - 1),
    st.sampled_from(Level),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**63 - 1),
)
def test_a_number_is_53_bits_of_its_own_counter(seed, level, sample, position):
    counter = (position % 2**32, position >> 32, sample, level)
    first, second, _, _ = philox_in_plain_integers(counter, (seed % 2**32, seed >> 32))
    number = CounterNoise(seed).uniform(level, rows(sample), rows(position))
    assert number.dtype == torch.float64
    assert number.item() * 2**53 == (first << 21) + (second >> 11)
    assert 0.0 <= number.item() < 1.0


@given(st.permutations(range(12)), st.integers(1, 12))
def test_numbers_do_not_depend_on_order_or_batch(order, batch_size):
    samples, positions = rows(*(i % 3 for i in range(12))), rows(*(i * i for i in range(12)))
    together = CounterNoise(7).uniform(Level.TOP, samples, positions)
    noise = CounterNoise(7)
    for first in range(0, 12, batch_size):
        some = torch.tensor(order[first : first + batch_size])
        numbers = noise.uniform(Level.TOP, samples[some], positions[some])
        assert torch.equal(numbers, together[some])


def test_seed_level_sample_and_position_all_change_the_number():
    numbers = [
        CounterNoise(seed).uniform(level, rows(sample), rows(position)).item()
        for seed in (0, 1, 2**32, 2**63)
        for level in Level
        for sample in (0, 1)
        for position in (0, 1, 2**32)
    ]
    assert len(set(numbers)) == len(numbers)


def test_numbers_look_uniform_and_unrelated():
    """A fixed seed: the bounds are five standard deviations, and nothing here is left to luck."""
    num = 100_000
    positions = torch.arange(num)
    first, second = (
        CounterNoise(1).uniform(Level.BOTTOM, torch.full((num,), sample), positions)
        for sample in (0, 1)
    )
    assert abs(first.mean().item() - 0.5) < 5 * (1 / 12 / num) ** 0.5
    counts = torch.histc(first, bins=100, min=0.0, max=1.0)
    chi_square = ((counts - num / 100) ** 2 / (num / 100)).sum().item()
    assert abs(chi_square - 99) < 5 * (2 * 99) ** 0.5
    neighbors = torch.corrcoef(torch.stack((first[:-1], first[1:])))[0, 1]
    takes = torch.corrcoef(torch.stack((first, second)))[0, 1]
    assert max(abs(neighbors), abs(takes)) < 5 / num**0.5


def test_an_empty_batch_gives_no_number():
    assert CounterNoise(0).uniform(Level.TOP, rows(), rows()).shape == (0,)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_of_more_than_64_bits_is_refused(seed):
    with pytest.raises(SamplingError, match=r"seed=-?\d+ must lie"):
        CounterNoise(seed)


def test_rows_that_do_not_match_are_refused():
    with pytest.raises(SamplingError, match=r"samples \[1\] and positions \[2\]"):
        CounterNoise(0).uniform(Level.TOP, rows(0), rows(0, 1))


@pytest.mark.parametrize(("sample", "position"), [(-1, 0), (0, -1), (2**32, 0)])
def test_counters_that_cannot_be_are_refused(sample, position):
    with pytest.raises(SamplingError, match="count from 0"):
        CounterNoise(0).uniform(Level.TOP, rows(sample), rows(position))


TABLE = TableNoise(
    {
        (Level.TOP, 0): torch.tensor([-1.0, 0.25, 0.5], dtype=torch.float64),
        (Level.TOP, 1): torch.tensor([0.125], dtype=torch.float64),
    }
)


def test_a_table_gives_the_number_written_for_each_row():
    numbers = TABLE.uniform(Level.TOP, rows(0, 1, 0), rows(2, 0, 1))
    assert numbers.tolist() == [0.5, 0.125, 0.25]
    assert numbers.dtype == torch.float64


@pytest.mark.parametrize(
    ("level", "sample", "position"),
    [(Level.TOP, 0, 0), (Level.TOP, 0, 3), (Level.TOP, 2, 0), (Level.MIDDLE, 0, 1)],
)
def test_a_table_without_a_number_says_where(level, sample, position):
    place = f"{level.label} level, sample {sample}, position {position}"
    with pytest.raises(SamplingError, match=place):
        TABLE.uniform(level, rows(sample), rows(position))
