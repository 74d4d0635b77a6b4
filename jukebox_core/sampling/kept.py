"""Codes that are there before anything is drawn: a prompt, a song to go on with, a draft.

Plain numbers; whoever holds the codes cuts them.
"""

from collections.abc import Mapping

from jukebox_core.errors import SongError
from jukebox_core.song import Song
from jukebox_core.units import COARSE_TO_FINE, Level, TimeBase


def cut_tokens(
    time_base: TimeBase, num_tokens: Mapping[Level, int], keep_sec: float | None = None
) -> dict[Level, int]:
    """How many codes of each level to keep of a song, to go on with the rest of it.

    A level keeps no more than lies under what the level above keeps: codes below were drawn for
    those above them, and would not fit others. Levels may be incomplete or absent.

    Args:
        time_base: of the model.
        num_tokens: what the song has of each level.
        keep_sec: how much of it to keep, cut to whole top tokens; all of it when absent. What is
            less than one token more than there is keeps all, see `TimeBase.border_of_song`.

    Returns:
        tokens of each level of `num_tokens`, coarsest first; always those of the top.

    Raises:
        SongError: there are no codes of the top level, or the cut is not inside them (`field` is
            `codes` or `keep_sec`).
    """
    num_top_tokens = num_tokens.get(Level.TOP, 0)
    if num_top_tokens < 1:
        raise SongError("there are no codes of the top level to go on with", field="codes")
    if keep_sec is not None:
        num_top_tokens = _cut(time_base, num_top_tokens, keep_sec)
    kept: dict[Level, int] = {}
    kept_samples = time_base.tokens_to_samples(num_top_tokens, Level.TOP)
    for level in COARSE_TO_FINE:
        if level not in num_tokens:
            continue
        kept[level] = min(num_tokens[level], kept_samples // time_base.samples_per_token[level])
        kept_samples = time_base.tokens_to_samples(kept[level], level)
    return kept


def _cut(time_base: TimeBase, num_top_tokens: int, keep_sec: float) -> int:
    inside = time_base.border_of_song(keep_sec, num_top_tokens) is not None
    kept = time_base.seconds_to_tokens(keep_sec, Level.TOP) if inside else 0
    if kept < 1:
        has_sec = time_base.tokens_to_seconds(num_top_tokens, Level.TOP)
        one_token_sec = time_base.tokens_to_seconds(1, Level.TOP)
        raise SongError(
            f"keep_sec={keep_sec:.10g} must lie between one token of the top level "
            f"({one_token_sec:.3g} s) and the end of the song ({has_sec:.10g} s)",
            field="keep_sec",
        )
    return min(kept, num_top_tokens)


def check_kept(time_base: TimeBase, song: Song, done_tokens: Mapping[Level, int]) -> None:
    """Refuse kept codes that cannot be the beginning of `song`.

    Raises:
        SongError: see `plan_song`.
    """
    covered_samples = None
    for level in COARSE_TO_FINE:
        done = done_tokens.get(level, 0)
        if done < 0:
            raise SongError(f"{done} kept codes of the {level.label} level", field="codes")
        if done and level not in song.levels:
            drawn = [each.label for each in song.levels]
            raise SongError(
                f"there are {done} codes of the {level.label} level to keep, but only the levels "
                f"{drawn} are asked for",
                field="levels",
            )
        samples = time_base.tokens_to_samples(done, level)
        _check_length(time_base, song, level, done)
        if covered_samples is not None and samples > covered_samples:
            raise SongError(
                f"the kept codes of the {level.label} level cover {samples} samples and those "
                f"above them only {covered_samples}: what lies above must be kept as well",
                field="codes",
            )
        covered_samples = samples


def _check_length(time_base: TimeBase, song: Song, level: Level, done: int) -> None:
    if done <= time_base.seconds_to_tokens(song.duration_sec, level):
        return
    top_token_samples = time_base.samples_per_token[Level.TOP]
    samples = -(-time_base.tokens_to_samples(done, level) // top_token_samples) * top_token_samples
    shortest_sec = -(-samples * 1000 // time_base.sample_rate_hz) / 1000
    raise SongError(
        f"duration_sec={song.duration_sec:.10g} is the whole length, and {done} codes of the "
        f"{level.label} level are there already: ask for at least {shortest_sec:.10g} s, or keep "
        "less",
        field="duration_sec",
    )
