"""What is played: tempo, key, chords and the melody that the voice sings, before any sound.

Melodies repeat: a song has two or three phrases, and a form such as A A B A. Songs with sections,
with verses and choruses, are written by `sections.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recipes.mini.synth.genres import Genre

_LONGEST_SEC = 600.0
_INTRO_SEC = 0.85
TAIL_SEC = 1.0
_SHORTEST_NOTE_SEC = 0.20
_LONGEST_NOTE_SEC = 0.95
_USUAL_NOTE_SEC = 0.32
_FORMS = ("AABA", "ABAB", "ABAC", "AABB", "ABCB")
_DEGREE_RANGE = (-3, 5)
_MOVES = np.array([-3, -2, -1, 0, 1, 2, 3])
_MOVE_WEIGHTS = np.array([0.05, 0.15, 0.27, 0.09, 0.27, 0.13, 0.04])


@dataclass(frozen=True)
class Slot:
    """One note of the melody: room for one syllable."""

    start_sec: float
    end_sec: float
    midi: int
    phrase: int
    """Which phrase of the song it belongs to: a line of the lyrics."""
    second_midi: int | None = None
    """Pitch of the second voice, where there is one."""


@dataclass(frozen=True)
class Section:
    """Some bars that belong together: an intro, a verse or a chorus."""

    kind: str
    first_step: int
    num_steps: int
    loudness: float
    has_drums: bool


@dataclass(frozen=True)
class Tune:
    """A song on paper."""

    step_sec: float
    num_steps: int
    """Steps before the last chord, which falls on the step of this number."""
    chords: tuple[tuple[int, ...], ...]
    """Per bar the pitches of its chord as semitones above the key note; the last is the tonic."""
    key_midi: int
    """The key note, near the middle of the voice."""
    slots: tuple[Slot, ...]
    duration_sec: float
    swing: float = 0.0
    sections: tuple[Section, ...] = ()
    """Empty where the song is all of a piece."""
    intro: tuple[Slot, ...] = ()
    """What the lead plays before the voice comes in."""
    line_names: tuple[str, ...] = ()
    """Per phrase a name; phrases of one name that is in capitals have the same words."""

    def section_at(self, step: int) -> Section | None:
        """The section that a step lies in; None where there are no sections."""
        found = [section for section in self.sections if section.first_step <= step]
        return found[-1] if found else None

    def time_of(self, step: int) -> float:
        """When a step of the song begins, in seconds."""
        late = self.swing if step % 2 else 0.0
        return (step + late) * self.step_sec

    @property
    def end_sec(self) -> float:
        """When the last chord is struck."""
        return self.num_steps * self.step_sec


@dataclass(frozen=True)
class Phrase:
    """A line of melody."""

    starts: tuple[int, ...]
    """Steps from the beginning of the phrase."""
    lengths: tuple[int, ...]
    degrees: tuple[int, ...]


def write_tune(
    rng: np.random.Generator,
    genre: Genre,
    register: int,
    *,
    duration_sec: float | None,
    num_syllables: int | None,
) -> Tune:
    """A tune of `duration_sec`, or if that is None one that has room for `num_syllables`."""
    step_sec = 60.0 / rng.uniform(*genre.tempo_bpm) / genre.steps_per_beat
    key_midi = register - 2 + int(rng.integers(-2, 3))
    progression = genre.progressions[rng.integers(len(genre.progressions))]
    longest_sec = _LONGEST_SEC if duration_sec is None else duration_sec
    slots = _melody(rng, genre, step_sec, key_midi, progression, longest_sec)
    if duration_sec is None:
        last = slots[min(num_syllables or 1, len(slots)) - 1]
        duration_sec = last.end_sec + TAIL_SEC + 0.3
    num_beats = int((duration_sec - TAIL_SEC) / (step_sec * genre.steps_per_beat))
    num_steps = max(num_beats, 1) * genre.steps_per_beat
    num_bars = -(-num_steps // genre.steps_per_bar)
    chords = [
        chord_of_degree(genre, progression[bar % len(progression)]) for bar in range(num_bars)
    ]
    return Tune(
        step_sec=step_sec,
        num_steps=num_steps,
        chords=(*chords, chord_of_degree(genre, 0)),
        key_midi=key_midi,
        slots=cut(slots, num_steps * step_sec, duration_sec, key_midi),
        duration_sec=duration_sec,
        swing=genre.swing,
    )


def pitch_of_degree(genre: Genre, degree: int) -> int:
    """Semitones above the key note of a degree of the scale; degrees go on past the octave."""
    octave, index = divmod(degree, len(genre.scale))
    return 12 * octave + genre.scale[index]


def chord_of_degree(genre: Genre, degree: int) -> tuple[int, ...]:
    """The triad on a degree of the scale, as semitones above the key note."""
    return tuple(pitch_of_degree(genre, degree + third) for third in (0, 2, 4))


def _melody(
    rng: np.random.Generator,
    genre: Genre,
    step_sec: float,
    key_midi: int,
    progression: tuple[int, ...],
    longest_sec: float,
) -> list[Slot]:
    phrase_steps = steps_of_phrase(genre, step_sec)
    phrases = {name: make_phrase(rng, genre, phrase_steps, step_sec) for name in "ABC"}
    form = _FORMS[rng.integers(len(_FORMS))]
    lead_in = _lead_in_steps(genre, step_sec)
    slots: list[Slot] = []
    for number in range(int(longest_sec / (phrase_steps * step_sec)) + 1):
        slots += phrase_slots(
            genre,
            phrases[form[number % len(form)]],
            first_step=number * phrase_steps + lead_in,
            step_sec=step_sec,
            key_midi=key_midi,
            chord_at=lambda bar: progression[bar % len(progression)],
            number=number,
        )
    return slots


def steps_of_phrase(genre: Genre, step_sec: float) -> int:
    """Length of a phrase: 1, 2 or 4 bars, some four seconds."""
    bars = min((1, 2, 4), key=lambda n: abs(np.log(n * genre.steps_per_bar * step_sec / 4.0)))
    return bars * genre.steps_per_bar


def phrase_slots(
    genre: Genre,
    phrase: Phrase,
    *,
    first_step: int,
    step_sec: float,
    key_midi: int,
    chord_at: Callable[[int], int],
    number: int,
    has_second_voice: bool = False,
) -> list[Slot]:
    """The notes of one phrase in its place; long notes on a beat are of the chord.

    Args:
        genre: decides the scale.
        phrase: what is sung.
        first_step: of the song, where the phrase begins.
        step_sec: of the song.
        key_midi: the key note.
        chord_at: degree of the chord of a bar of the song.
        number: of the phrase.
        has_second_voice: another voice sings two degrees below.
    """
    slots = []
    for start, length, degree in zip(phrase.starts, phrase.lengths, phrase.degrees, strict=True):
        step = first_step + start
        on_beat = step % genre.steps_per_beat == 0 and length * step_sec > 0.3
        chord = chord_at(step // genre.steps_per_bar)
        sung = _nearest_chord_degree(genre, degree, chord) if on_beat else degree
        slots.append(
            Slot(
                start_sec=step * step_sec,
                end_sec=(step + length) * step_sec,
                midi=key_midi + pitch_of_degree(genre, sung),
                phrase=number,
                second_midi=(
                    key_midi + pitch_of_degree(genre, sung - 2) if has_second_voice else None
                ),
            )
        )
    return slots


def _lead_in_steps(genre: Genre, step_sec: float) -> int:
    beats = int(_INTRO_SEC / (step_sec * genre.steps_per_beat))
    return beats * genre.steps_per_beat or max(genre.steps_per_beat // 2, 1)


def make_phrase(rng: np.random.Generator, genre: Genre, num_steps: int, step_sec: float) -> Phrase:
    """One line: notes of some 0.4 s, the last one longer, and a breath."""
    breath = max(1, round(0.18 / step_sec))
    last = max(1, round(0.5 / step_sec))
    lengths_allowed = np.arange(1, max(2, int(_LONGEST_NOTE_SEC / step_sec) + 1))
    lengths_allowed = lengths_allowed[lengths_allowed * step_sec >= _SHORTEST_NOTE_SEC]
    starts, lengths, position = [], [], 0
    while num_steps - breath - last - position >= lengths_allowed[0]:
        room = num_steps - breath - last - position
        fitting = lengths_allowed[lengths_allowed <= room]
        weights = np.exp(-((np.log(fitting * step_sec / _USUAL_NOTE_SEC) / 0.36) ** 2))
        weights *= np.where((position + fitting) % genre.steps_per_beat == 0, 1.6, 1.0)
        length = int(rng.choice(fitting, p=weights / weights.sum()))
        starts.append(position)
        lengths.append(length)
        position += length
    starts.append(position)
    lengths.append(num_steps - breath - position)
    return Phrase(tuple(starts), tuple(lengths), _contour(rng, genre, len(starts)))


def _contour(rng: np.random.Generator, genre: Genre, num_notes: int) -> tuple[int, ...]:
    """A walk along the scale that rises, falls and comes to rest on the chord."""
    degree = int(rng.choice([0, 2, 4]))
    arch = rng.uniform(0.5, 2.5) * rng.choice([1.0, 1.0, -1.0])
    degrees = []
    for note in range(num_notes):
        center = 1.5 + arch * np.sin(np.pi * note / max(num_notes - 1, 1))
        pull = np.exp(-0.12 * (degree + _MOVES - center) ** 2)
        weights = _MOVE_WEIGHTS * pull
        degrees.append(degree)
        degree += int(rng.choice(_MOVES, p=weights / weights.sum()))
        # The same range in semitones, however many notes the scale has.
        lowest, highest = (round(end * len(genre.scale) / 7) for end in _DEGREE_RANGE)
        degree = int(np.clip(degree, lowest, highest))
    degrees[-1] = int(rng.choice([0, 0, 2, 4]))
    return tuple(degrees)


def _nearest_chord_degree(genre: Genre, degree: int, chord: int) -> int:
    size = len(genre.scale)
    wanted = {(chord + third) % size for third in (0, 2, 4)}
    return min(
        (degree + move for move in (0, -1, 1, -2, 2) if (degree + move) % size in wanted),
        key=lambda candidate: abs(candidate - degree),
        default=degree,
    )


def cut(slots: list[Slot], end_sec: float, duration_sec: float, key_midi: int) -> tuple[Slot, ...]:
    """The notes of the song; the last one comes home to the key note and rings into the end."""
    kept = [slot for slot in slots if slot.start_sec < end_sec + 0.05]
    if not kept:
        return ()
    last = kept[-1]
    end_sec = min(max(last.end_sec, last.start_sec + 0.5), duration_sec - 0.25)
    home = key_midi + (12 if last.midi - key_midi > 7 else 0)
    kept[-1] = Slot(last.start_sec, max(end_sec, last.start_sec + 0.1), home, last.phrase)
    return tuple(kept)
