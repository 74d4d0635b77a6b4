"""Eight invented artists: a voice, and the instruments that go with it in every genre."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timbre:
    """The sound of an instrument: how loud each harmonic is."""

    kind: str
    """odd, saw, flute, glass, organ, pulse, brass or string."""
    tilt: float = 1.0
    """Harmonic h is h**-tilt as loud as the kind says."""
    body_hz: float = 0.0
    """Where the body of the instrument resonates; 0 for nowhere."""
    damping: float = 0.0
    """How much faster high harmonics die away."""


@dataclass(frozen=True)
class Artist:
    """One singer with a band."""

    name: str
    register: int
    """MIDI pitch in the middle of the voice."""
    formant_scale: float
    """Length of the throat: above 1 is shorter."""
    tilt: float
    """How fast the voice falls off towards high harmonics."""
    vibrato_hz: float
    vibrato_cents: float
    glide_sec: float
    """How long the pitch takes from one note to the next."""
    breath: float
    """Noise in the voice, as a part of its loudness."""
    voice_over_band_db: float
    lead: Timbre
    chords: Timbre
    bass: Timbre
    lead_octave: int
    lead_level: float
    tremolo_hz: float = 0.0
    """Of lead and chords; 0 for none."""


ARTIST_STYLES: tuple[Artist, ...] = (
    Artist(
        name="orlavane",
        register=62,
        formant_scale=1.16,
        tilt=0.75,
        vibrato_hz=5.6,
        vibrato_cents=32,
        glide_sec=0.05,
        breath=0.008,
        voice_over_band_db=7.5,
        lead=Timbre("flute", 1.2),
        chords=Timbre("glass", 0.7, damping=0.8),
        bass=Timbre("flute", 1.0),
        lead_octave=6,
        lead_level=1.0,
    ),
    Artist(
        name="bromgard",
        register=45,
        formant_scale=0.88,
        tilt=1.05,
        vibrato_hz=4.6,
        vibrato_cents=18,
        glide_sec=0.07,
        breath=0.0,
        voice_over_band_db=7.0,
        lead=Timbre("brass", 0.9, body_hz=900.0),
        chords=Timbre("brass", 1.1, body_hz=600.0),
        bass=Timbre("brass", 0.9, body_hz=350.0),
        lead_octave=4,
        lead_level=1.0,
    ),
    Artist(
        name="pipzella",
        register=64,
        formant_scale=1.26,
        tilt=0.45,
        vibrato_hz=7.0,
        vibrato_cents=12,
        glide_sec=0.02,
        breath=0.0,
        voice_over_band_db=7.5,
        lead=Timbre("pulse", 0.0),
        chords=Timbre("pulse", 0.2),
        bass=Timbre("pulse", 0.4),
        lead_octave=6,
        lead_level=0.8,
    ),
    Artist(
        name="duskovan",
        register=50,
        formant_scale=0.94,
        tilt=1.25,
        vibrato_hz=5.0,
        vibrato_cents=10,
        glide_sec=0.10,
        breath=0.03,
        voice_over_band_db=8.5,
        lead=Timbre("odd", 1.2),
        chords=Timbre("odd", 1.6),
        bass=Timbre("odd", 1.8),
        lead_octave=5,
        lead_level=1.0,
    ),
    Artist(
        name="tamsinreed",
        register=58,
        formant_scale=1.05,
        tilt=0.95,
        vibrato_hz=5.2,
        vibrato_cents=22,
        glide_sec=0.04,
        breath=0.012,
        voice_over_band_db=8.0,
        lead=Timbre("string", 0.7, body_hz=2200.0, damping=1.0),
        chords=Timbre("string", 0.8, body_hz=1600.0, damping=1.2),
        bass=Timbre("string", 0.9, damping=1.2),
        lead_octave=5,
        lead_level=1.1,
    ),
    Artist(
        name="voltahn",
        register=53,
        formant_scale=1.0,
        tilt=0.55,
        vibrato_hz=6.2,
        vibrato_cents=0,
        glide_sec=0.008,
        breath=0.0,
        voice_over_band_db=7.0,
        lead=Timbre("saw", 0.75),
        chords=Timbre("saw", 0.8),
        bass=Timbre("saw", 0.85),
        lead_octave=5,
        lead_level=0.9,
    ),
    Artist(
        name="cantorelli",
        register=55,
        formant_scale=0.98,
        tilt=0.85,
        vibrato_hz=6.0,
        vibrato_cents=55,
        glide_sec=0.06,
        breath=0.0,
        voice_over_band_db=7.0,
        lead=Timbre("organ", 0.35),
        chords=Timbre("organ", 0.45),
        bass=Timbre("organ", 0.9),
        lead_octave=5,
        lead_level=0.9,
        tremolo_hz=6.5,
    ),
    Artist(
        name="silkmora",
        register=60,
        formant_scale=1.10,
        tilt=1.15,
        vibrato_hz=4.8,
        vibrato_cents=40,
        glide_sec=0.09,
        breath=0.022,
        voice_over_band_db=8.0,
        lead=Timbre("glass", 0.35, damping=0.6),
        chords=Timbre("flute", 0.6),
        bass=Timbre("string", 1.3, damping=0.8),
        lead_octave=6,
        lead_level=1.0,
    ),
)

ARTISTS: tuple[str, ...] = tuple(artist.name for artist in ARTIST_STYLES)
"""Names of the artists; id 0 of a label list is "unknown", so these begin at 1."""
