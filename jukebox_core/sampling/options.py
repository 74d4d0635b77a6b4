"""What the modes of `JukeboxModel` have in common: options, and the rows of one batch, checked."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypedDict, cast

import torch
from torch import Tensor

from jukebox_core.config import JukeboxConfig
from jukebox_core.errors import AudioError, SongError
from jukebox_core.labels import Labels, SongLabels
from jukebox_core.sampling.cascade import default_song_duration_sec, plan_song
from jukebox_core.sampling.noise import NoiseSource
from jukebox_core.sampling.song_plan import SongTiming
from jukebox_core.song import SamplingParams, Song, Speed, default_sampling
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase

LevelProgress = Callable[[Level, int, int], None]
"""Called with (level, tokens done, tokens total) of one song, after every token or every few."""


class SongOptions(TypedDict, total=False):
    """What every mode of `JukeboxModel` takes by keyword; all may be left out.

    song_duration_sec  length of the whole imagined song, which paces the lyrics; the shortest that
                       holds what is drawn and that the model was trained on when absent. Give it
                       when a song will be continued, and the same each time. One for all rows, or
                       a list with one for each.
    offset_sec         where in that song the drawn part, kept codes included, begins; one for all
                       rows, or a list with one for each
    sampling           per level; temperature 0.99 and no filter where absent
    levels             `[Level.TOP]` or `["top"]` alone makes a draft; all three when absent
    seed               of the default noise: the same seed gives the same song
    first_sample       number of the first row for the noise, 0 when absent: take 5 of a seed can
                       be drawn alone, with the codes that it has as the sixth row
    noise              any object with `uniform(level, sample, position)`, see `NoiseSource`
    max_batch_size     rows that are drawn together, 16 when absent
    channels           2 for stereo: the levels below the top are drawn once for each channel, from
                       the same top. Rows of these levels are then all left channels, and after them
                       all right ones. What the given codes have when absent, or 1
    channel_labels     what the levels below the top of the left and of the right channel read, as
                       `labels`; None for one of them: the same as the top
    speed              "parallel" draws the levels below the top in up to eight segments side by
                       side: sooner, and another song than "exact", which is the default
    progress           called after every token
    """

    song_duration_sec: float | Sequence[float | None] | None
    offset_sec: float | Sequence[float]
    sampling: Mapping[Level, SamplingParams] | Mapping[str, SamplingParams] | None
    levels: Sequence[Level | str]
    seed: int
    first_sample: int
    noise: NoiseSource | None
    max_batch_size: int
    channels: int
    channel_labels: Sequence[Labels | None]
    speed: Speed | str
    progress: LevelProgress | None


def song_from_options(
    config: JukeboxConfig,
    duration_sec: float,
    num_samples: int,
    options: SongOptions,
    row: int = 0,
) -> Song:
    """The options as a `Song` with the timing of `row`.

    Its words stay empty, since labels are ids already.

    Raises:
        SongError: an option makes no sense for any model.
    """
    offset_sec = _of_row(options.get("offset_sec", 0.0), row) or 0.0
    song_duration_sec = _of_row(options.get("song_duration_sec"), row)
    if song_duration_sec is None:
        song_duration_sec = default_song_duration_sec(config, duration_sec, offset_sec)
    return Song(
        artist="",
        genre="",
        duration_sec=duration_sec,
        song_duration_sec=song_duration_sec,
        offset_sec=offset_sec,
        num_samples=num_samples,
        seed=options.get("seed", 0),
        sampling=_sampling_of(options),
        levels=levels_of(options),
        speed=_speed_of(options),
        channels=options.get("channels", 1),
    )


def _of_row(seconds: float | Sequence[float | None] | None, row: int) -> float | None:
    """What is given for one row: a single number is for all."""
    if not isinstance(seconds, Sequence):
        return seconds
    return seconds[row] if len(seconds) > 1 else seconds[0]


def given_timings(time_base: TimeBase, options: SongOptions, num_rows: int) -> list[SongTiming]:
    """Of every row, as they are given, for codes that are there already."""
    return [
        SongTiming(
            total_samples=time_base.seconds_to_samples(
                _of_row(options.get("song_duration_sec"), row) or 0.0
            ),
            offset_samples=time_base.seconds_to_samples(
                _of_row(options.get("offset_sec"), row) or 0.0
            ),
        )
        for row in range(num_rows)
    ]


def timings_of(
    config: JukeboxConfig,
    duration_sec: float,
    num_rows: int,
    options: SongOptions,
    done_tokens: Mapping[Level, int],
) -> list[SongTiming]:
    """Of every row. Raises SongError where the model cannot sing one of them."""
    songs = [
        song_from_options(config, duration_sec, num_rows, options, row) for row in range(num_rows)
    ]
    timings: dict[tuple[float, float], SongTiming] = {}
    for row, song in enumerate(songs):
        if (song.song_duration_sec, song.offset_sec) in timings:
            continue
        try:
            plan = plan_song(config, song, done_tokens, padded=True)
        except SongError as error:
            # The first stands for all where there is one timing, and is checked before.
            raise SongError(f"row {row}: {error}", field=error.field) from error
        timings[song.song_duration_sec, song.offset_sec] = plan.timing
    return [timings[song.song_duration_sec, song.offset_sec] for song in songs]


def _speed_of(options: SongOptions) -> Speed:
    wanted = options.get("speed", Speed.EXACT)
    try:
        return Speed(wanted)
    except ValueError:
        known = ", ".join(Speed)
        raise SongError(f"speed={wanted!r} is not known: {known}", field="speed") from None


def levels_of(options: SongOptions) -> tuple[Level, ...]:
    """The levels to draw, coarsest first; names stand for levels, and one level for a list of it.

    Raises:
        SongError: something in it is no level.
    """
    wanted: object = options.get("levels", COARSE_TO_FINE)
    levels = [wanted] if isinstance(wanted, str | int) else wanted
    if not isinstance(levels, Iterable):
        raise SongError(f"levels={wanted!r} is no list of levels", field="levels")
    return tuple(_level(each, "levels") for each in levels)


def _sampling_of(options: SongOptions) -> dict[Level, SamplingParams]:
    """Raises SongError."""
    given = options.get("sampling") or {}
    sampling = {_level(level, "sampling"): params for level, params in given.items()}
    for level, params in sampling.items():
        if not isinstance(params, SamplingParams):
            raise SongError(
                f"sampling of the {level.label} level is {params!r}: give "
                "SamplingParams(temperature=...)",
                field="sampling",
            )
    return {**default_sampling(), **sampling}


def _level(level: object, field: str) -> Level:
    try:
        return Level(cast(int, level))
    except ValueError as error:
        raise SongError(f"{field}: {error}", field=field) from None


def count_rows(
    n_samples: int,
    labels: Labels,
    codes: Sequence[Tensor] = (),
    options: SongOptions | None = None,
) -> int:
    """How many songs are drawn: what there is one of serves all of them.

    Raises:
        SongError: several of one kind meet another number of another kind.
    """
    kept_rows = len(codes[0]) if codes else 1
    given = {name: (options or {}).get(name) for name in ("song_duration_sec", "offset_sec")}
    listed = {name: len(value) for name, value in given.items() if isinstance(value, Sequence)}
    counts = {n_samples, len(labels), kept_rows, *listed.values()}
    num_rows = max(counts)
    if not counts <= {1, num_rows}:
        lists = "".join(f", {count} of {name}" for name, count in listed.items())
        raise SongError(
            f"{n_samples=}, {len(labels)} songs to sing and {kept_rows} rows of codes{lists} do "
            f"not go together: each must be 1 or {num_rows}",
            field="num_samples",
        )
    return num_rows


def channel_songs(
    labels: Labels, sides: Sequence[Labels | None], num_rows: int, num_channels: int
) -> list[tuple[SongLabels, ...]]:
    """Labels of every row of the finer levels; at the top all channels are `labels`.

    Raises:
        SongError: there are `sides` of another number than channels, or of other songs.
    """
    songs = repeat_songs(labels, num_rows)
    if not sides:
        return songs * num_channels
    if len(sides) != num_channels or any(
        side is not None and len(side) not in (1, num_rows) for side in sides
    ):
        raise SongError(
            f"channel_labels needs labels of 1 or {num_rows} songs, or None, for each of the "
            f"{num_channels} channels",
            field="channel_labels",
        )
    rows = [songs if side is None else repeat_songs(side, num_rows) for side in sides]
    return [
        (song[0], *side[1:]) for channel in rows for song, side in zip(songs, channel, strict=True)
    ]


def repeat_songs(labels: Labels, num_rows: int) -> list[tuple[SongLabels, ...]]:
    """Labels of every row: those of a single song for all, or one song each."""
    return list(labels.songs) * (num_rows // len(labels))


def repeat_codes(codes: Sequence[Tensor], num_rows: int) -> list[Tensor]:
    """Codes [num_rows, T] of every level: those of a single row for all, or a row each."""
    return [stream.expand(num_rows, -1) for stream in codes]


def checked_codes(
    config: JukeboxConfig, codes: Sequence[Tensor], row: int | None = None
) -> list[Tensor]:
    """Codes that somebody gave, as int64.

    Args:
        config: of the model that is to sing on.
        codes: integers [B, T] per level, top first; levels may be left out at the end, and those
            below the top may be of two channels.
        row: the only take to keep; all of them when None.

    Raises:
        SongError: they are no codes of this model, or have no such row (`field` is `codes` or
            `row`).
    """
    if len(codes) > len(COARSE_TO_FINE):
        raise SongError(f"codes of {len(codes)} levels are given, of 3", field="codes")
    num_takes = len(codes[0]) if codes else 0
    # In stereo the levels below the top have two rows for each row of it.
    rows = [{num_takes}, {num_takes, 2 * num_takes}, {len(stream) for stream in codes[1:2]}]
    for level, stream, wanted in zip(COARSE_TO_FINE, codes, rows, strict=False):
        _check_stream(level, stream, wanted, config.vqvae.num_codes)
    if row is None:
        return [stream.long() for stream in codes]
    if not 0 <= row < num_takes:
        raise SongError(f"{row=}, but the codes have {num_takes} rows, from 0 on", field="row")
    return [stream[row::num_takes].long() for stream in codes]


def num_channels_of(codes: Sequence[Tensor]) -> int:
    """1, or 2 where the levels below the top have two rows for each row of it."""
    return len(codes[1]) // len(codes[0]) if len(codes) > 1 and len(codes[0]) else 1


def _check_stream(level: Level, stream: Tensor, rows: Collection[int], num_codes: int) -> None:
    is_integer = not (stream.is_floating_point() or stream.is_complex())
    if not is_integer or stream.dtype == torch.bool or stream.ndim != 2 or len(stream) not in rows:
        wanted = " or ".join(str(number) for number in sorted(rows))
        raise SongError(
            f"codes of the {level.label} level are {stream.dtype} {list(stream.shape)}; wanted "
            f"whole numbers [{wanted}, tokens]",
            field="codes",
        )
    if stream.numel() and not (stream.min() >= 0 and stream.max() < num_codes):
        raise SongError(
            f"codes of the {level.label} level lie between {stream.min()} and {stream.max()}; "
            f"this model has 0 to {num_codes - 1}",
            field="codes",
        )


def lengths_of(codes: Sequence[Tensor]) -> dict[Level, int]:
    """Tokens of every level that is there, coarsest first."""
    return {level: stream.shape[1] for level, stream in zip(COARSE_TO_FINE, codes, strict=False)}


def whole_tokens(raw_audio: Tensor, hop_samples: int) -> Tensor:
    """The prompt without what does not fill a token of `hop_samples` at its end.

    Raises:
        AudioError: it is not [B, samples, 1], or holds no whole token.
    """
    num_samples = raw_audio.shape[1] // hop_samples * hop_samples if raw_audio.ndim == 3 else 0
    if num_samples == 0:
        raise AudioError(
            f"the prompt has the shape {tuple(raw_audio.shape)}; wanted [batch, samples, 1] with "
            f"at least {hop_samples} samples, one token of the top level"
        )
    return raw_audio[:, :num_samples]
