"""The same small model in transformers 4.57.6 and in this library, and ways to watch both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers
from torch import Tensor

from jukebox_core import JukeboxModel
from jukebox_core.labels import Labels
from tests.parity.transformers_directory import write_directory

Found = TypeVar("Found")

TOP_TOKEN_SAMPLES = 128
RATE_HZ = 44_100
LYRICS = "Hello, hello, is anybody there?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same weights and the same label lists in both libraries."""

    directory: Path
    theirs: Any
    their_tokenizer: Any
    ours: JukeboxModel

    def their_labels(self) -> list[Tensor]:
        """Labels of one song."""
        labels: list[Tensor] = self.their_tokenizer("The Sawtooths", "drone", LYRICS)["input_ids"]
        return labels

    def our_labels(self) -> Labels:
        """The same song."""
        return self.ours.tokenizer("The Sawtooths", "drone", LYRICS)


def open_pair(directory: Path, kind: str) -> Pair:
    """Write a directory of transformers and load it with both."""
    write_directory(directory, kind)
    # Without `min_duration=0` it refuses to draw less than the shortest song it was trained on.
    theirs = transformers.JukeboxModel.from_pretrained(directory, min_duration=0).eval()
    tokenizer = transformers.JukeboxTokenizer.from_pretrained(directory)
    ours = JukeboxModel.from_pretrained(directory)
    ours.use_backend("torch")  # others call no module whose inputs could be looked at
    return Pair(
        directory=directory,
        theirs=theirs,
        their_tokenizer=tokenizer,
        ours=ours,
    )


def random_codes(num_tokens: int) -> Tensor:
    """int64 [1, num_tokens]"""
    generator = torch.Generator().manual_seed(num_tokens)
    return torch.randint(0, 48, (1, num_tokens), generator=generator)


def some_codes(num_top_tokens: int) -> list[Tensor]:
    """Codes of a song at all levels, top first."""
    return [random_codes(num_top_tokens * ratio) for ratio in (1, 4, 16)]


def nothing() -> Tensor:
    """No codes yet: int64 [1, 0]."""
    return torch.zeros(1, 0, dtype=torch.int64)


def seconds(num_top_tokens: int) -> float:
    """How long so many top tokens sound."""
    return num_top_tokens * TOP_TOKEN_SAMPLES / RATE_HZ


def their_options(num_top_tokens: int, levels: list[int] | None = None) -> dict[str, Any]:
    """What their sampling methods need for a length, without writing files."""
    options = {"sample_length": num_top_tokens * TOP_TOKEN_SAMPLES, "save_results": False}
    return options if levels is None else {**options, "sample_levels": levels}


@contextmanager
def inputs_of(module: torch.nn.Module) -> Iterator[list[Tensor]]:
    """What a module is called with meanwhile; its first argument, call after call."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        yield seen
    finally:
        hook.remove()


@contextmanager
def arguments_of(
    owner: object, method: str
) -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Positional and named arguments of a method of one object, call after call."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    original = getattr(owner, method)

    def note(*given: object, **named: object) -> object:
        seen.append((given, named))
        return original(*given, **named)

    setattr(owner, method, note)
    try:
        yield seen
    finally:
        delattr(owner, method)


def outcome(run: Callable[[], Found]) -> Found | str:
    """What `run` gives, or the name of the exception that it ends in."""
    try:
        return run()
    except Exception as error:  # noqa: BLE001 - that it fails, and how, is the measure
        return type(error).__name__
