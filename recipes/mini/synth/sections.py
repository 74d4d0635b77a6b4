"""Songs with sections: an intro, then verses and choruses that return, up to half a minute or more.

A chorus has chords, a melody and words of its own, the same each time; a second voice sings along,
and the band is louder than in a verse. A fill leads from each section to the next.
"""

from itertools import cycle
from typing import NamedTuple

import numpy as np

from recipes.mini.synth.genres import Genre
from recipes.mini.synth.tune import (
    TAIL_SEC,
    Section,
    Slot,
    Tune,
    chord_of_degree,
    cut,
    make_phrase,
    phrase_slots,
    steps_of_phrase,
)

_FORMS = ("vcvc", "vvcvc", "cvcv", "vcvcc")
_LINES = {"v": "ab", "c": "CD"}
"""The phrases of a verse and of a chorus; a capital's words are the same each time."""
_KINDS = {"v": "verse", "c": "chorus"}
_LOUDNESS = {"intro": 0.6, "verse": 0.75, "chorus": 1.0}
_INTRO_WITH_DRUMS_SHARE = 0.5
_SINGLE_LINES_BELOW_SEC = 14.0


class _Plan(NamedTuple):
    """What stands where, before it is cut to length."""

    sections: list[Section]
    lines: list[tuple[str, Section, int]]
    """Name, section and first step of every phrase that is sung."""


def write_song_with_sections(
    rng: np.random.Generator, genre: Genre, register: int, *, duration_sec: float
) -> Tune:
    """A tune of `duration_sec` with an intro, verses and choruses."""
    step_sec = 60.0 / rng.uniform(*genre.tempo_bpm) / genre.steps_per_beat
    key_midi = register - 2 + int(rng.integers(-2, 3))
    verse, chorus = rng.permutation(len(genre.progressions))[:2]
    progressions = {
        "intro": genre.progressions[verse],
        "verse": genre.progressions[verse],
        "chorus": genre.progressions[chorus],
    }
    phrase_steps = steps_of_phrase(genre, step_sec)
    phrases = {name: make_phrase(rng, genre, phrase_steps, step_sec) for name in "abCD"}
    num_beats = int((duration_sec - TAIL_SEC) / (step_sec * genre.steps_per_beat))
    num_steps = max(num_beats, 1) * genre.steps_per_beat
    lines_per_section = 1 if duration_sec < _SINGLE_LINES_BELOW_SEC else 2
    plan = _plan(rng, genre, phrase_steps, num_steps, lines_per_section)
    degrees = [
        degree
        for section in plan.sections
        for degree in _degrees(genre, section, progressions[section.kind])
    ]

    def sung(number: int, name: str, section: Section, first_step: int) -> list[Slot]:
        return phrase_slots(
            genre,
            phrases[name],
            first_step=first_step,
            step_sec=step_sec,
            key_midi=key_midi,
            chord_at=lambda bar: degrees[min(bar, len(degrees) - 1)],
            number=number,
            has_second_voice=section.kind == "chorus",
        )

    slots = [slot for number, line in enumerate(plan.lines) for slot in sung(number, *line)]
    intro_end_sec = plan.sections[0].num_steps * step_sec
    hook = [slot for slot in sung(0, "C", plan.sections[0], 0) if slot.end_sec <= intro_end_sec]
    num_bars = -(-num_steps // genre.steps_per_bar)
    return Tune(
        step_sec=step_sec,
        num_steps=num_steps,
        chords=tuple(chord_of_degree(genre, degree) for degree in [*degrees[:num_bars], 0]),
        key_midi=key_midi,
        slots=cut(slots, num_steps * step_sec, duration_sec, key_midi),
        duration_sec=duration_sec,
        swing=genre.swing,
        sections=tuple(section for section in plan.sections if section.first_step < num_steps),
        intro=tuple(hook),
        line_names=tuple(name for name, _, _ in plan.lines),
    )


def _plan(
    rng: np.random.Generator,
    genre: Genre,
    phrase_steps: int,
    num_steps: int,
    lines_per_section: int,
) -> _Plan:
    """Sections and lines that fill `num_steps` or more; a short song's intro is one bar."""
    intro_steps = phrase_steps if lines_per_section > 1 else genre.steps_per_bar
    has_drums = bool(rng.random() < _INTRO_WITH_DRUMS_SHARE)
    plan = _Plan([Section("intro", 0, intro_steps, _LOUDNESS["intro"], has_drums)], [])
    first_step = intro_steps
    for mark in cycle(_FORMS[rng.integers(len(_FORMS))]):
        if first_step >= num_steps:
            break
        kind = _KINDS[mark]
        length = lines_per_section * phrase_steps
        section = Section(kind, first_step, length, _LOUDNESS[kind], has_drums=True)
        plan.sections.append(section)
        for index in range(lines_per_section):
            plan.lines.append((_LINES[mark][index], section, first_step + index * phrase_steps))
        first_step += length
    return plan


def _degrees(genre: Genre, section: Section, progression: tuple[int, ...]) -> list[int]:
    """The chord of each bar of a section, which begins its progression anew."""
    num_bars = section.num_steps // genre.steps_per_bar
    return [progression[bar % len(progression)] for bar in range(num_bars)]
