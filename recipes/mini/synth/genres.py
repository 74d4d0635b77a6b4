"""Eight invented genres: what the songs of one have in common, whoever plays them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Genre:
    """A way to play. Steps are the smallest unit of time, `steps_per_beat` of them to a beat."""

    name: str
    tempo_bpm: tuple[float, float]
    """Range of beats per minute."""
    beats_per_bar: int
    steps_per_beat: int
    scale: tuple[int, ...]
    """Semitones above the key note, ascending."""
    progressions: tuple[tuple[int, ...], ...]
    """Chords, one to a bar, as degrees of the scale from 0."""
    drums: tuple[tuple[str, str, float], ...]
    """Piece of the kit, one character per step of a bar (x hit, o soft hit), and its level."""
    bass: str
    """Per step: r root, f fifth, o octave, t third, u scale step below; . nothing, - held."""
    chord_steps: str
    """Per step: x struck, 1-4 single tone of the chord, . nothing, - held."""
    chord_decay_per_sec: float
    """How fast a struck chord dies away; 0 holds."""
    chord_octave: int
    chord_level: float
    bass_level: float
    drum_level: float
    lead_steps: str
    """What the lead plays behind the voice, per step as in `chord_steps`."""
    swing: float = 0.0
    """Delay of every second step, as a part of a step."""

    @property
    def steps_per_bar(self) -> int:
        """Length of `bass`, `chord_steps` and every drum pattern."""
        return self.beats_per_bar * self.steps_per_beat


_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_MINOR = (0, 2, 3, 5, 7, 8, 10)
_DORIAN = (0, 2, 3, 5, 7, 9, 10)
_MIXOLYDIAN = (0, 2, 4, 5, 7, 9, 10)
_LYDIAN = (0, 2, 4, 6, 7, 9, 11)
_HARMONIC_MINOR = (0, 2, 3, 5, 7, 8, 11)
_PENTATONIC = (0, 3, 5, 7, 10)

GENRE_STYLES: tuple[Genre, ...] = (
    Genre(
        name="hearthwaltz",
        tempo_bpm=(104, 116),
        beats_per_bar=3,
        steps_per_beat=2,
        scale=_MAJOR,
        progressions=((0, 5, 3, 4), (0, 3, 4, 0), (0, 0, 1, 4)),
        drums=(("kick", "x.....", 0.7), ("brush", "..x.x.", 0.8)),
        bass="r-..f.",
        chord_steps="..x.x.",
        chord_decay_per_sec=7.0,
        chord_octave=5,
        chord_level=1.0,
        bass_level=1.0,
        drum_level=0.7,
        lead_steps="3-----",
    ),
    Genre(
        name="kilnfunk",
        tempo_bpm=(98, 108),
        beats_per_bar=4,
        steps_per_beat=4,
        scale=_DORIAN,
        progressions=((0, 0, 3, 3), (0, 3, 0, 4), (0, 6, 3, 0)),
        drums=(
            ("kick", "x..x......x.....", 1.0),
            ("snare", "....x..o.o..x..o", 0.9),
            ("hat", "x.xxx.x.x.xxx.x.", 0.5),
        ),
        bass="r.r..o.r..u.r.f.",
        chord_steps="...x..x....x..x.",
        chord_decay_per_sec=16.0,
        chord_octave=5,
        chord_level=0.9,
        bass_level=1.1,
        drum_level=1.0,
        lead_steps="......3..2......",
    ),
    Genre(
        name="tidedub",
        tempo_bpm=(68, 76),
        beats_per_bar=4,
        steps_per_beat=4,
        scale=_MINOR,
        progressions=((0, 0, 3, 3), (0, 5, 6, 0), (0, 6, 5, 6)),
        drums=(
            ("kick", "........x.......", 1.1),
            ("rim", "........x.....o.", 0.8),
            ("hat", "..x...x...x...x.", 0.4),
        ),
        bass="r--.r-f-....o-f-",
        chord_steps="....x.......x...",
        chord_decay_per_sec=11.0,
        chord_octave=5,
        chord_level=1.0,
        bass_level=1.6,
        drum_level=0.9,
        lead_steps="..........3-2-..",
    ),
    Genre(
        name="pixelpop",
        tempo_bpm=(126, 134),
        beats_per_bar=4,
        steps_per_beat=4,
        scale=_MAJOR,
        progressions=((0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4)),
        drums=(
            ("kick", "x...x...x...x...", 1.1),
            ("clap", "....x.......x...", 0.8),
            ("open", "..x...x...x...x.", 0.5),
        ),
        bass="r.o.r.o.r.o.r.o.",
        chord_steps="1.2.3.2.4.3.2.3.",
        chord_decay_per_sec=9.0,
        chord_octave=6,
        chord_level=0.9,
        bass_level=0.9,
        drum_level=1.0,
        lead_steps="x---------------",
    ),
    Genre(
        name="mossballad",
        tempo_bpm=(60, 66),
        beats_per_bar=4,
        steps_per_beat=4,
        scale=_LYDIAN,
        progressions=((0, 1, 0, 4), (0, 5, 1, 4), (0, 2, 5, 1)),
        drums=(("kick", "x.......o.......", 0.6), ("brush", "........x.......", 0.7)),
        bass="r-------f-------",
        chord_steps="x---------------",
        chord_decay_per_sec=0.0,
        chord_octave=4,
        chord_level=1.3,
        bass_level=0.9,
        drum_level=0.5,
        lead_steps="1.2.3.4.3.2.3.2.",
    ),
    Genre(
        name="fernjig",
        tempo_bpm=(172, 190),
        beats_per_bar=6,
        steps_per_beat=1,
        scale=_MIXOLYDIAN,
        progressions=((0, 6, 0, 4), (0, 3, 6, 0), (0, 0, 6, 6)),
        drums=(("tom", "x.oxoo", 1.0), ("shaker", "xxxxxx", 0.5)),
        bass="r.fr.f",
        chord_steps="x.xx.x",
        chord_decay_per_sec=9.0,
        chord_octave=4,
        chord_level=0.9,
        bass_level=0.8,
        drum_level=0.9,
        lead_steps="123432",
    ),
    Genre(
        name="steelmarch",
        tempo_bpm=(140, 150),
        beats_per_bar=4,
        steps_per_beat=2,
        scale=_HARMONIC_MINOR,
        progressions=((0, 5, 3, 4), (0, 0, 5, 4), (0, 3, 4, 0)),
        drums=(
            ("kick", "x...x.x.", 1.1),
            ("snare", "..xo..xx", 1.0),
            ("crash", "x.......", 0.35),
        ),
        bass="rrrrrrrr",
        chord_steps="x-x-xxx-",
        chord_decay_per_sec=4.0,
        chord_octave=3,
        chord_level=1.1,
        bass_level=1.1,
        drum_level=1.0,
        lead_steps="1---3---",
    ),
    Genre(
        name="lanternfive",
        tempo_bpm=(150, 162),
        beats_per_bar=5,
        steps_per_beat=2,
        scale=_PENTATONIC,
        progressions=((0, 0, 2, 0), (0, 3, 4, 0), (0, 4, 0, 2)),
        drums=(
            ("tom", "x.....x...", 0.9),
            ("block", "..x.x...x.", 0.8),
            ("shaker", "x.x.x.x.x.", 0.4),
        ),
        bass="r--...f---",
        chord_steps="1.3.2.4.3.",
        chord_decay_per_sec=6.0,
        chord_octave=5,
        chord_level=1.1,
        bass_level=1.0,
        drum_level=0.8,
        lead_steps="....2-3---",
    ),
)

GENRES: tuple[str, ...] = tuple(genre.name for genre in GENRE_STYLES)
"""Names of the genres; id 0 of a label list is "unknown", so these begin at 1."""
