"""What a song that is sung without a service begins with: nothing, a sound, or codes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Unpack

import typer

from cli import options
from cli.errors import UsageError
from jukebox_core.units import COARSE_TO_FINE, Level

if TYPE_CHECKING:
    from torch import Tensor

    from jukebox_core.labels import Labels
    from jukebox_core.model import JukeboxModel
    from jukebox_core.sampling.options import SongOptions

DEFAULT_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What was typed about it; of `prompt`, `continue_codes` and `upsample_codes` at most one.

    Raises:
        UsageError: the options do not go together.
    """

    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            min=0.01,
            help="Length of the audio (default: 10); with --continue, seconds to add.",
        ),
    ] = None
    prompt: Annotated[
        Path | None,
        typer.Option(
            "--prompt", metavar="FILE", help="Audio to continue from; counts toward --seconds."
        ),
    ] = None
    prompt_start: options.PromptStart = 0.0
    prompt_seconds: options.PromptSeconds = None
    continue_codes: Annotated[
        Path | None,
        typer.Option("--continue", metavar="CODES", help="Continue from codes (.safetensors)."),
    ] = None
    upsample_codes: Annotated[
        Path | None,
        typer.Option(
            "--upsample", metavar="CODES", help="Generate the lower levels of these codes."
        ),
    ] = None
    cut: options.Cut = None
    sample: options.Sample = None

    def __post_init__(self) -> None:
        begun = [self.prompt, self.continue_codes, self.upsample_codes]
        if sum(path is not None for path in begun) > 1:
            raise UsageError("use only one of --prompt, --continue and --upsample")
        if self.prompt is None and (self.prompt_start or self.prompt_seconds):
            raise UsageError(
                "--prompt-start and --prompt-seconds cut a --prompt, and there is none"
            )
        if self.continue_codes is None and self.cut is not None:
            raise UsageError("--cut requires --continue")
        if self.codes is None and self.sample is not None:
            raise UsageError("--sample requires --continue or --upsample")
        if self.upsample_codes is not None and self.seconds is not None:
            raise UsageError("with --upsample the song is as long as its codes: omit --seconds")

    @property
    def codes(self) -> Path | None:
        """The file of codes, if there is one."""
        return self.continue_codes if self.upsample_codes is None else self.upsample_codes

    def num_takes(self, takes: int) -> int:
        """How many takes `--takes` makes: one of each song in the codes, where none is chosen.

        Raises:
            UsageError: the prompt or the codes are not there.
            SongError: the file of codes holds something else.
        """
        if self.prompt is not None and not self.prompt.is_file():
            raise UsageError(f"--prompt {self.prompt}: no such file")
        if self.codes is None:
            return takes
        num_songs = len(read_codes(self.codes)[0])
        return takes if self.sample is not None else max(takes, num_songs)


def draw(
    jukebox: "JukeboxModel",
    labels: "Labels",
    takes: int,
    beginning: Beginning,
    **how: "Unpack[SongOptions]",
) -> "list[Tensor]":
    """Sing in the mode that `beginning` asks for: int64 [takes, T] per level, top first.

    Raises:
        JukeboxError: a file cannot be read, or the model cannot sing that.
    """
    seconds = DEFAULT_SECONDS if beginning.seconds is None else beginning.seconds
    if beginning.codes is not None:
        codes = read_codes(beginning.codes)
        _check_codec(jukebox, beginning.codes, how.get("levels"))
        if beginning.upsample_codes is not None:
            return jukebox.upsample(codes, labels, takes, row=beginning.sample, **how)
        kept_sec = _kept_seconds(jukebox, codes, beginning.cut)
        return jukebox.continue_sample(
            codes,
            labels,
            takes,
            row=beginning.sample,
            keep_sec=beginning.cut,
            duration_sec=kept_sec + seconds,
            **how,
        )
    if beginning.prompt is not None:
        prompt = _prompt(jukebox, beginning)
        return jukebox.primed_sample(prompt, labels, takes, duration_sec=seconds, **how)
    return jukebox.ancestral_sample(labels, takes, duration_sec=seconds, **how)


def read_codes(path: Path) -> "list[Tensor]":
    """Codes int64 [songs, T] per level, top first.

    Raises:
        SongError: the file is none of codes.
        UsageError: it is not there, or holds no codes of the top level.
    """
    # Imported here: torch takes seconds to load, and most commands do not need it.
    import torch

    from jukebox_core.codes_file import read_codes_file

    if not path.is_file():
        raise UsageError(f"there is no file of codes {path}")
    codes = read_codes_file(path)
    if Level.TOP.label not in codes:
        raise UsageError(f"{path} holds no codes of the top level")
    return [torch.from_numpy(rows) for rows in codes.values()]


def _check_codec(
    jukebox: "JukeboxModel", path: Path, levels: "Collection[Level | str] | None"
) -> None:
    """Refuse codes that another codec made, of the levels that are sung.

    Raises:
        CodecChanged: they would be noise.
        SongError: the file is none of codes.
    """
    from jukebox_core.codes_file import check_codebooks, read_codebooks

    used = [each.label if isinstance(each, Level) else each for each in levels or Level]
    check_codebooks(
        {level: each for level, each in read_codebooks(path).items() if level in used},
        _codebooks_of(jukebox),
        model=jukebox.config.name,
        advice="Begin from the sound of the song instead, with --prompt",
    )


def _codebooks_of(jukebox: "JukeboxModel") -> dict[str, str]:
    """By level."""
    from jukebox_core.vqvae.identity import codebook_ids

    return {level.label: each for level, each in codebook_ids(jukebox.vqvae).items()}


def write_codes(path: Path, codes: "Sequence[Tensor]", *, jukebox: "JukeboxModel") -> None:
    """Write the file that `GET /jobs/{id}/codes` gives and `POST /assets` takes."""
    from jukebox_core.checkpoints.tensor_writing import save_file
    from jukebox_core.codes_file import codebook_metadata

    tensors = {
        level.label: stream.int().cpu().contiguous()
        for level, stream in zip(COARSE_TO_FINE, codes, strict=False)
    }
    model = jukebox.config.name
    drawn = {level: each for level, each in _codebooks_of(jukebox).items() if level in tensors}
    metadata = ({"model": model} if model else {}) | codebook_metadata(drawn)
    save_file(tensors, path, metadata=metadata)


def _kept_seconds(jukebox: "JukeboxModel", codes: "Sequence[Tensor]", cut: float | None) -> float:
    """Length of what is kept, in whole top tokens."""
    time_base = jukebox.config.time_base
    num_tokens = codes[0].shape[1]
    if cut is not None:
        num_tokens = min(num_tokens, time_base.seconds_to_tokens(cut, Level.TOP))
    return time_base.tokens_to_seconds(num_tokens, Level.TOP)


def _prompt(jukebox: "JukeboxModel", beginning: Beginning) -> "Tensor":
    from jukebox_core.audio import read_audio

    audio = read_audio(
        beginning.prompt or Path(),
        sample_rate_hz=jukebox.config.vqvae.sample_rate_hz,
        offset_sec=beginning.prompt_start,
        duration_sec=beginning.prompt_seconds,
    )
    return audio[None]
