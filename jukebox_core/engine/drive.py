"""Drives one song through an engine of its own, in the thread that asks for it."""

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Collection

import numpy as np

from jukebox_core.engine.engine import Engine, SequenceUpdate
from jukebox_core.engine.overlap import LevelState, levels_to_begin
from jukebox_core.engine.sequence import Sequence
from jukebox_core.engine.song_run import Codes, SongRun, WindowRun
from jukebox_core.units import Level

LevelOrder = Callable[[Collection[LevelState]], Collection[Level]]
"""Chooses the levels whose next windows are begun now, see `overlap.py`."""


def level_after_level(states: Collection[LevelState]) -> Collection[Level]:
    """The coarsest level that is not done, and no other."""
    return levels_to_begin(states, 1)


def drive(
    engine: Engine,
    run: SongRun,
    order: LevelOrder = level_after_level,
    on_step: Callable[[], None] = lambda: None,
) -> Iterator[WindowRun]:
    """Sample what is missing of the open levels; yields each window once it is there.

    Args:
        engine: without other songs.
        run: the song.
        order: which levels go on.
        on_step: called after every step of the engine.

    Raises what stopped a sequence.
    """
    under_way: dict[str, WindowRun] = {}
    codes: dict[str, Codes] = {}
    while not run.is_done:
        for window in [
            each for level in order(run.states(run.levels)) for each in run.begin(level)
        ]:
            for sequence in window.sequences:
                under_way[sequence.id] = window
                engine.submit(sequence)
        for update in _next_updates(engine, on_step):
            window = under_way.pop(update.id)
            codes[update.id] = _codes_of(update)
            if all(sequence.id in codes for sequence in window.sequences):
                window.segment.take(np.stack([codes.pop(each.id) for each in window.sequences]))
                yield window


def sample_windows(engine: Engine, sequences: Collection[Sequence]) -> Codes:
    """Codes int64 [B, num_new] of windows of one length; raises what stopped one of them."""
    for sequence in sequences:
        engine.submit(sequence)
    codes: dict[str, Codes] = {}
    while engine.has_work:
        codes |= {update.id: _codes_of(update) for update in engine.step()}
    return np.stack([codes[sequence.id] for sequence in sequences])


def _next_updates(engine: Engine, on_step: Callable[[], None]) -> list[SequenceUpdate]:
    """Step until some sequence ends."""
    while engine.has_work:
        updates = engine.step()
        on_step()
        if updates:
            return updates
    raise RuntimeError("nothing is under way, and the song is not done")


def _codes_of(update: SequenceUpdate) -> Codes:
    if update.codes is None:
        raise update.error or RuntimeError(f"the sequence {update.id} ended without codes")
    return update.codes
