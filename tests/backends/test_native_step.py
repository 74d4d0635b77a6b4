"""The step in C gives what the step in torch gives, and no row knows of its neighbors."""

import copy
import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor

from jukebox_core.backends.choose import Target, reason_against
from jukebox_core.backends.native.backend import NativeBackend
from jukebox_core.backends.native.kept import kept_name
from jukebox_core.backends.native.library import (
    COMPILE,
    SOURCES,
    load,
    native_library,
    reason_against_compiling,
)
from jukebox_core.backends.torch import TorchBackend
from jukebox_core.config import AttentionKind, JukeboxPriorConfig, TransformerConfig
from jukebox_core.engine import Engine
from jukebox_core.errors import ConfigError
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import Level
from tests.backends.on_backend import OnBackend
from tests.engine.windows import Draw, run_to_end
from tests.prior.golden import PRIORS, golden_prior, window_starts
from tests.prior.test_cache import Window, check_every_prefix_and_position, poison

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def native(prior: JukeboxPrior) -> OnBackend:
    return OnBackend(copy.deepcopy(prior), "native")


def odd_prior() -> JukeboxPrior:
    """Widths that fill no vector: 76, heads of 19, rows of 7."""
    kinds = (AttentionKind.ROW, AttentionKind.COLUMN, AttentionKind.PREVIOUS_ROW, AttentionKind.ALL)
    stack = TransformerConfig(
        width=76,
        layers=kinds,
        num_heads=2,
        num_blocks=5,
        context_tokens=35,
        attention_width_ratio=0.5,
        mlp_width_ratio=1.5,
    )
    prior = JukeboxPrior(
        JukeboxPriorConfig(
            level=Level.TOP,
            context_tokens=35,
            num_codes=50,
            sample_rate_hz=44_100,
            samples_per_token=128,
            transformer=stack,
        )
    )
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, weight in prior.named_parameters():
            weight.normal_(float(name.endswith("norm.weight")), 0.2, generator=generator)
    return prior.eval()


@pytest.mark.parametrize("name", PRIORS)
def test_native_steps_equal_the_whole_window_from_every_prefix(name):
    window = Window(name, window_starts(name)[0])
    window.prior = native(window.prior)
    cache = window.prior.allocate_cache(window.codes.shape[1])
    poison(cache)
    check_every_prefix_and_position(window, cache, seed=0)


def test_widths_that_fill_no_vector_are_computed_whole():
    prior = odd_prior()
    generator = torch.Generator().manual_seed(5)
    codes = torch.randint(0, 50, (3, 35), generator=generator)
    labels = torch.zeros(3, 0, dtype=torch.int64)
    wanted = prior(codes, labels).logits
    prior = native(prior)
    cache, slots = prior.allocate_cache(3), torch.tensor([2, 0, 1])
    prior.prefill(codes[:, :4], prior.condition(labels), cache, slots)
    for position in range(5, 35):
        positions = torch.full((3,), position)
        logits = prior.decode(codes[:, position - 1], positions, cache, slots)
        atol = 3e-6 * wanted.abs().max().item()
        torch.testing.assert_close(logits, wanted[:, position], atol=atol, rtol=0)


def test_the_native_step_is_as_near_to_the_exact_numbers_as_the_plain_one():
    plain = odd_prior()
    codes = torch.randint(0, 50, (1, 35), generator=torch.Generator().manual_seed(5))
    exact = copy.deepcopy(plain).double()(codes, codes[:, :0]).logits[0, 5:]
    errors = []
    for prior in (OnBackend(plain, "torch"), native(plain)):
        cache, row = prior.allocate_cache(1), torch.tensor([0])
        prior.prefill(codes[:, :4], prior.condition(codes[:, :0]), cache, row)
        found = [prior.decode(codes[:, at - 1], row + at, cache, row) for at in range(5, 35)]
        errors.append((torch.cat(found) - exact).square().mean().sqrt().item())
    assert errors[1] < 1.5 * errors[0]


def logits_alone_and_in_company(prior: JukeboxPrior, num_rows: int) -> tuple[Tensor, Tensor]:
    """Logits of some of 13 rows at random places, by themselves and as a part of all."""
    generator = torch.Generator().manual_seed(6)
    cache = prior.allocate_cache(13)
    for memory in (*cache.layers, cache.position_embedding):
        memory.normal_(generator=generator)
    ids = torch.randint(0, prior.config.vocabulary_size, (13,), generator=generator)
    positions = torch.randint(1, prior.config.context_tokens, (13,), generator=generator)
    slots = torch.randperm(13, generator=generator)
    together = prior.decode(ids, positions, cache, slots)
    some = torch.randperm(13, generator=generator)[:num_rows]
    return prior.decode(ids[some], positions[some], cache, slots[some]), together[some]


@pytest.mark.parametrize("num_rows", [1, 2, 3, 4, 5, 6, 7, 13])
@pytest.mark.parametrize("name", ["odd", "prior_1b_lyrics", "prior_5b_lyrics", "upsampler_level_0"])
def test_logits_of_a_row_are_the_same_to_the_bit_in_any_company(name, num_rows):
    prior = odd_prior() if name == "odd" else golden_prior(name)
    alone, together = logits_alone_and_in_company(native(prior), num_rows)
    assert torch.equal(alone, together)


@pytest.mark.parametrize("name", ["prior_1b_lyrics", "prior_5b_lyrics", "prior_5b"])
def test_an_engine_draws_the_same_codes_with_either_step(name):
    draws = [Draw(name, Level.TOP, num_new=50, seed=seed) for seed in range(5)]
    engine = Engine({Level.TOP: draws[0].prior}, max_rows=4, backend="native")
    for number, window in enumerate(draws):
        engine.submit(window.sequence(f"{number}"))
    wanted = {f"{number}": window.slowly() for number, window in enumerate(draws)}
    assert run_to_end(engine) == wanted


@pytest.mark.parametrize("max_rows", [2, 4])
def test_windows_of_both_steps_are_drawn_side_by_side_as_each_is_alone(max_rows, monkeypatch):
    draws = [Draw("prior_5b_lyrics", Level.TOP, num_new=30, seed=seed) for seed in range(4)]
    backends = ["native", "torch", "native", None]
    engine = Engine({Level.TOP: draws[0].prior}, max_rows=max_rows)
    asked = watch_backends(monkeypatch)
    for number, (window, backend) in enumerate(zip(draws, backends, strict=True)):
        sequence = window.sequence(f"{number}")
        sequence.backend = backend
        engine.submit(sequence)
    found = run_to_end(engine)
    monkeypatch.undo()
    assert found == {f"{number}": window.slowly() for number, window in enumerate(draws)}
    assert asked == {"native", "torch"}


def watch_backends(monkeypatch):
    asked = set()

    def spy_on(kind, method, name):
        real = getattr(kind, method)

        def spy(*args, **how):
            asked.add(name)
            return real(*args, **how)

        monkeypatch.setattr(kind, method, spy)

    spy_on(TorchBackend, "decode", "torch")
    spy_on(NativeBackend, "parts", "native")
    return asked


def test_weights_that_moved_are_found_again():
    window = Window("prior_5b", 0)
    prior = window.prior = native(window.prior)
    cache = prior.allocate_cache(1)
    row = torch.tensor([0])
    window.prefill(0, 3, cache, 0)
    window.decode(row, row + 4, cache, row)
    for weight in prior.parameters():
        weight.data = weight.data.clone()
    for position in range(5, 20):
        logits = window.decode(row, row + position, cache, row)
        torch.testing.assert_close(logits[0], window.logits[0, position], atol=2e-5, rtol=0)


def test_half_precision_is_refused_with_a_sentence():
    prior = native(golden_prior("prior_5b"))
    prior.prior.set_compute_dtype(torch.float16)
    row = torch.tensor([0])
    with pytest.raises(ConfigError, match=r"not torch\.float16"):
        prior.decode(row, row + 1, prior.allocate_cache(1), row)


def test_a_machine_without_a_compiler_hears_what_is_missing(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="needs a C compiler"):
        native_library.__wrapped__()
    monkeypatch.setattr(
        "jukebox_core.backends.native.library.native_library", native_library.__wrapped__
    )
    assert reason_against_compiling() == "the native backend needs a C compiler called cc"
    target = Target(device_type="cpu", is_float32=True)
    assert reason_against("native", target) == "the native backend needs a C compiler called cc"


def test_a_library_is_loaded_where_no_file_may_be_executed(monkeypatch, tmp_path):
    real = ctypes.CDLL
    compiled = tmp_path / "native_step.so"
    subprocess.run([*COMPILE, *SOURCES, "-o", str(compiled), "-lm"], check=True)

    def only_from_memory(name):
        if not name.startswith("/proc/self/fd/"):
            raise OSError(f"{name}: failed to map segment from shared object")
        return real(name)

    monkeypatch.setattr(ctypes, "CDLL", only_from_memory)
    assert load(compiled).sample_tokens


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """The commands that compile, none of which does; the home folder is an empty one."""
    commands, run = [], subprocess.run

    def compile_nothing(command, **options):
        if "-###" in command:
            return run(command, **options)
        commands.append(command)
        output = Path(command[command.index("-o") + 1])
        return run(["cc", "-shared", "-o", output, "-x", "c", os.devnull], check=True)

    monkeypatch.setattr(subprocess, "run", compile_nothing)
    monkeypatch.setattr("jukebox_core.backends.native.library.declared", lambda each: each)
    monkeypatch.setenv("HOME", str(tmp_path))
    return commands


def kept_files(home):
    return list((home / ".cache" / "jukebox" / "native").rglob("*"))


def test_later_processes_find_what_was_compiled(compiled, tmp_path):
    for _ in range(2):
        native_library.__wrapped__()
    assert len(compiled) == 1
    (kept,) = kept_files(tmp_path)
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_other_sources_options_or_processors_are_compiled_anew(tmp_path):
    (source := tmp_path / "source.c").write_text("int number(void) { return 1; }")
    names = {kept_name(["cc", "-O3"], [str(source)]), kept_name(["cc", "-O2"], [str(source)])}
    names.add(kept_name(["cc", "-O3", "-march=native"], [str(source)]))
    source.write_text("int number(void) { return 2; }")
    names.add(kept_name(["cc", "-O3"], [str(source)]))
    assert len(names) == 4
    assert kept_name(["cc", "-O3"], [str(source)]) in names


def test_a_compiler_that_does_not_tell_what_it_does_is_asked_every_time(tmp_path):
    (compiler := tmp_path / "cc").write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    assert kept_name([str(compiler), "-O3"], SOURCES) is None


def test_what_others_may_have_written_is_not_loaded(compiled, tmp_path):
    native_library.__wrapped__()
    (kept,) = kept_files(tmp_path)
    kept.chmod(0o620)
    native_library.__wrapped__()
    assert len(compiled) == 2
    kept.parent.chmod(0o777)
    native_library.__wrapped__()
    assert len(compiled) == 3


def test_a_damaged_file_is_compiled_anew(compiled, monkeypatch, tmp_path):
    native_library.__wrapped__()
    (kept,) = kept_files(tmp_path)
    # Elsewhere, and by its own name: what this process has loaded, it does not load again.
    monkeypatch.setenv("HOME", str(tmp_path / "other"))
    monkeypatch.delattr(os, "memfd_create", raising=False)
    damaged = tmp_path / "other" / kept.relative_to(tmp_path)
    damaged.parent.mkdir(parents=True, mode=0o700)
    damaged.write_bytes(b"\x7fELF")
    for _ in range(2):
        native_library.__wrapped__()
    assert len(compiled) == 2


def test_a_home_that_cannot_be_written_is_no_error(compiled, monkeypatch, tmp_path):
    (tmp_path / ".cache").write_text("a file is in the way")
    for _ in range(2):
        native_library.__wrapped__()
    assert len(compiled) == 2


@pytest.mark.parametrize("what", ["ids", "positions", "slots"])
@pytest.mark.parametrize("number", [-(10**6), 10**6])
def test_what_lies_outside_of_its_memory_is_never_read(what, number):
    """The step in torch says so, too."""
    prior = golden_prior(PRIORS[0])
    where = {"ids": [3, 5], "positions": [1, 2], "slots": [0, 1]}
    where[what][1] = number
    numbers = {name: torch.tensor(values) for name, values in where.items()}
    for each in (OnBackend(prior, "torch"), native(prior)):
        cache = each.allocate_cache(2)
        with pytest.raises(IndexError):
            each.decode(numbers["ids"], numbers["positions"], cache, numbers["slots"])


def test_ids_may_be_narrower_than_addresses():
    prior = native(golden_prior(PRIORS[0]))
    cache = prior.allocate_cache(2)
    ids, positions, slots = torch.tensor([3, 5]), torch.tensor([1, 2]), torch.tensor([0, 1])
    wide = prior.decode(ids, positions, cache, slots)
    assert torch.equal(prior.decode(ids.int(), positions, cache, slots), wide)
