"""A thread that is held in the middle of its part holds up nobody, and changes nothing."""

import ctypes
import platform
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch

from jukebox_core.backends.native.library import SOURCES, declared
from jukebox_core.backends.native.native_prior import NativePrior
from jukebox_core.backends.native.structures import NativeRow
from tests.backends.test_native_processors import command_for
from tests.backends.test_native_threads import every_prior_is_large, prior_named, threads
from tests.backends.test_native_window import in_c

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

HERE = Path(__file__).parent
NUM_THREADS, NUM_ROWS = 3, 6
HOOK = "-DBEFORE_PART(rank)=do { void hold_part(long); hold_part(rank); } while (0)"

__all__ = ["every_prior_is_large"]


@pytest.fixture(scope="module")
def held_library(tmp_path_factory) -> ctypes.CDLL:
    """The same source, with threads that can be held, see `held_parts.c`.

    It is optimized less, and so rounds in other places than the library that is shipped.
    """
    built = tmp_path_factory.mktemp("held") / "held.so"
    sources = [*SOURCES, str(HERE / "held_parts.c")]
    command = [*command_for(("-march=native",)), HOOK, *sources, "-o", str(built), "-lm"]
    subprocess.run(command, check=True)
    return declared(ctypes.CDLL(str(built)))


@pytest.fixture
def held(held_library, monkeypatch) -> ctypes.CDLL:
    module = "jukebox_core.backends.native.native_prior"
    monkeypatch.setattr(f"{module}.native_library", lambda: held_library)
    return held_library


def logits_of(library, native, rows, ids, num_threads, out):
    """As `NativePrior.logits`, into numbers that others can see meanwhile."""
    done = library.read_logits(
        *(native.address, (NativeRow * len(rows))(*rows), (ctypes.c_int64 * len(rows))(*ids)),
        *(len(rows), num_threads, out.data_ptr()),
    )
    assert done


@pytest.mark.usefixtures("every_prior_is_large")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_one_thread_ends_a_token_whose_other_threads_never_come_back(held, precision):
    prior, generator = prior_named("odd", precision), torch.Generator().manual_seed(8)
    cache = prior.allocate_cache(NUM_ROWS)
    for memory in (*cache.layers, cache.position_embedding):
        memory.normal_(generator=generator)
    native = NativePrior(prior, cache)
    rows = [NativeRow(slot=row, position=3 + 4 * row) for row in range(NUM_ROWS)]
    wanted, found = torch.full((2, NUM_ROWS, prior.config.vocabulary_size), torch.nan)
    logits_of(held, native, rows, range(NUM_ROWS), 1, wanted)
    kept = [layer.clone() for layer in cache.layers]

    is_closed = ctypes.c_int64.in_dll(held, "is_closed")
    is_closed.value = 1
    call = threading.Thread(
        target=logits_of, args=(held, native, rows, range(NUM_ROWS), NUM_THREADS, found)
    )
    call.start()
    try:
        give_up = time.monotonic() + 60
        while found.isnan().any() and time.monotonic() < give_up:
            time.sleep(0.001)
        assert torch.equal(found, wanted)
        assert call.is_alive(), "nobody was held"
    finally:
        is_closed.value = 0
        call.join()
    # What the others still write by then is the same, or lies where nobody reads.
    assert torch.equal(found, wanted)
    for layer, before in zip(cache.layers, kept, strict=True):
        assert torch.equal(layer, before)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("name", "precision"), [("prior_5b_lyrics", "fp32"), ("upsampler_level_0", "int8")]
)
def test_codes_are_the_same_where_threads_stand_still_now_and_then(name, precision, monkeypatch):
    prior = prior_named(name, precision)
    with threads(1):
        wanted = in_c(prior, name, 20, 1)
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 0)
    with threads(NUM_THREADS):
        assert (in_c(prior, name, 20, NUM_THREADS) == wanted).all()


SANITIZED = ("-fsanitize=thread", "-g")
NEVER_AGAIN = "-DPATIENCE_NS=1000000000000000"
"""Nothing is done twice then: what is, races for places where both write the same."""
SOON_AGAIN = ("-DPATIENCE_NS=20000", "-DARE_DONE_AGAIN")


@pytest.mark.parametrize("options", [(NEVER_AGAIN,), SOON_AGAIN])
def test_a_team_computes_what_one_thread_does_and_its_threads_race_for_nothing(options, tmp_path):
    native, program = Path(SOURCES[0]).parent, tmp_path / "team_check"
    sources = [str(HERE / "team_check.c"), str(native / "team.c")]
    command = ["cc", "-O1", "-std=gnu11", "-pthread", f"-I{native}", HOOK.replace("long", "")]
    command = [each.replace("hold_part(rank)", "hold_part()") for each in command]
    can_check = platform.machine() == "x86_64" and has_thread_sanitizer(tmp_path)
    command += [*options, *(SANITIZED if can_check else ())]
    subprocess.run([*command, *sources, "-o", str(program)], check=True)
    found = [
        subprocess.run([str(program), num], capture_output=True, text=True, check=False)
        for num in ("1", "3", "3")
    ]
    assert [each.returncode for each in found] == [0, 0, 0], found[1].stderr + found[2].stderr
    assert len({each.stdout for each in found}) == 1
    assert found[0].stdout.strip()


def has_thread_sanitizer(folder: Path) -> bool:
    """It is a library of its own, and does not run under every layout of addresses."""
    source, program = folder / "nothing.c", folder / "nothing"
    source.write_text("int main(void) { return 0; }\n", encoding="utf-8")
    build = ["cc", *SANITIZED, str(source), "-o", str(program)]
    if subprocess.run(build, check=False, capture_output=True).returncode:
        return False
    return subprocess.run([str(program)], check=False, capture_output=True).returncode == 0
