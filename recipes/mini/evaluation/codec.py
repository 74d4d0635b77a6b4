"""The gate of a codec: what its levels sound like, how its codes are used, what the top keeps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jukebox_core.errors import TrainingError
from jukebox_core.training.dataset.data import Report
from jukebox_core.training.dataset.syllables import VOWELS
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE
from recipes.mini.evaluation.audio_metrics import SoundDistance, sound_distance
from recipes.mini.evaluation.features import (
    CodeFrontEnd,
    codebook_vectors,
    decode_clips,
    encode_clips,
    whole_tokens,
)
from recipes.mini.evaluation.ground_truth import KnownSong, clips_of, lesson_of
from recipes.mini.evaluation.haze import mel_distance_db, noise_to_mask_db, valley_db
from recipes.mini.evaluation.listening.listener import (
    Heard,
    Lesson,
    LessonSettings,
    Listener,
    teach,
)
from recipes.mini.evaluation.pitch_probe import pitches_found, teach_pitch
from recipes.mini.evaluation.statistics import Share, rounded, share_in_songs, share_of
from recipes.mini.synth import ARTISTS, GENRES

VOWELS_WANTED, ARTISTS_WANTED, PITCHES_WANTED, PERPLEXITY_WANTED = 0.70, 0.80, 0.90, 0.50
"""Shares that let a codec pass."""


_PROBE_LESSON = LessonSettings(width=64, epochs=10, weight_decay=0.05, dropout=0.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSettings:
    """How much is listened to.

    clip_sec           of every song, from its beginning; shorter songs are left out
    num_distances      unheard songs whose reconstructions are compared; codes are counted in all
    num_probe_songs    songs that a probe learns from
    probe_levels       whose codes are probed
    lesson             how a probe learns
    pitch_steps        of the probe that learns the pitch, of 16 songs each
    """

    clip_sec: float = 8.0
    num_distances: int = 24
    num_probe_songs: int = 480
    levels: tuple[Level, ...] = COARSE_TO_FINE
    probe_levels: tuple[Level, ...] = (Level.TOP,)
    lesson: LessonSettings = _PROBE_LESSON
    pitch_steps: int = 400


QUICK = CodecSettings(
    clip_sec=4.0,
    num_distances=4,
    num_probe_songs=24,
    lesson=LessonSettings(width=24, epochs=2),
    pitch_steps=4,
)
"""For tests: the figures mean little."""


def evaluate_codec(
    vqvae: JukeboxVQVAE,
    learnt: Sequence[KnownSong],
    unheard: Sequence[KnownSong],
    settings: CodecSettings,
    report: Report,
) -> dict[str, Any]:
    """All figures of a codec, JSON-ready.

    Args:
        vqvae: on any device.
        learnt: songs that the codec was trained on; probes learn from them too. May be empty
            where nothing is probed.
        unheard: songs that neither has seen; every figure is of these.
        settings: see `CodecSettings`.
        report: told what is being done.

    Raises:
        TrainingError: there are no songs of at least `clip_sec` on one of the sides.
    """
    num_samples = whole_tokens(round(settings.clip_sec * vqvae.config.sample_rate_hz), vqvae.config)
    if settings.probe_levels:
        learnt = _long_enough(learnt, num_samples, "to learn from")[: settings.num_probe_songs]
    unheard = _long_enough(unheard, num_samples, "held out")
    clips = clips_of(unheard, num_samples)
    levels: dict[str, Any] = {}
    for level in settings.levels:
        report(f"{level.label}: reconstructing {settings.num_distances} unheard songs")
        codes = encode_clips(vqvae, clips, level)
        levels[level.label] = {
            **_distance(vqvae, clips[: settings.num_distances], codes, level),
            **code_use(codes, vqvae.config.num_codes),
        }
    probes = {
        level.label: _probe(vqvae, level, learnt, unheard, num_samples, settings, report)
        for level in settings.probe_levels
        if level in settings.levels
    }
    return {
        "unheard_songs": len(unheard),
        "clip_seconds": num_samples / vqvae.config.sample_rate_hz,
        "levels": levels,
        **({"probes": probes, "gate": _gate(levels, probes)} if probes else {}),
    }


def _long_enough(songs: Sequence[KnownSong], num_samples: int, what: str) -> list[KnownSong]:
    found = [song for song in songs if len(song.audio) >= num_samples]
    if not found:
        raise TrainingError(
            f"of {len(songs)} songs {what}, none is as long as the {num_samples} samples wanted"
        )
    return found


def _distance(vqvae: JukeboxVQVAE, clips: Tensor, codes: Tensor, level: Level) -> dict[str, Any]:
    heard = decode_clips(vqvae, codes[: len(clips)], level)
    distances = [sound_distance(clip, other) for clip, other in zip(clips, heard, strict=True)]
    mean = SoundDistance(
        *(
            sum(getattr(distance, name) for distance in distances) / len(distances)
            for name in ("snr_db", "spectral_convergence", "log_spectral_distance_db")
        )
    )
    rate_hz = vqvae.config.sample_rate_hz
    return {
        **mean.to_json(),
        "valley_db": rounded(valley_db(heard, rate_hz)),
        "mel_distance_db": rounded(mel_distance_db(clips, heard, rate_hz)),
        "noise_to_mask_db": rounded(noise_to_mask_db(clips, heard, rate_hz)),
    }


def code_use(codes: Tensor, num_codes: int) -> dict[str, Any]:
    """How evenly codes int64 [N, T] are used.

    `perplexity` is 2 to the entropy of their frequencies: as many equally frequent codes would
    carry the same. It is too low where there are few tokens for each code.
    """
    counts = torch.bincount(codes.flatten(), minlength=num_codes).double()
    shares = counts[counts > 0] / counts.sum()
    entropy_bits = float(-(shares * shares.log2()).sum())
    perplexity = 2.0**entropy_bits
    return {
        "codes": num_codes,
        "codes_used": int((counts > 0).sum()),
        "perplexity": round(perplexity, 1),
        "perplexity_share": rounded(perplexity / num_codes),
        "unigram_bits": rounded(entropy_bits),
        "tokens": codes.numel(),
    }


def _probe(
    vqvae: JukeboxVQVAE,
    level: Level,
    learnt: Sequence[KnownSong],
    unheard: Sequence[KnownSong],
    num_samples: int,
    settings: CodecSettings,
    report: Report,
) -> dict[str, Any]:
    report(f"{level.label}: a probe learns from the codes of {len(learnt)} songs")
    tokens_per_second = vqvae.config.time_base.tokens_per_second(level)
    lessons = [
        lesson_of(
            songs, encode_clips(vqvae, clips_of(songs, num_samples), level), tokens_per_second
        )
        for songs in (learnt, unheard)
    ]
    vectors = codebook_vectors(vqvae, level)
    probe = new_listener(CodeFrontEnd(vectors), vectors.shape[1], settings.lesson)
    loss = teach(probe, lessons[0], settings.lesson, disturb=_drop_codes(len(vectors)))
    heard = probe.hear(lessons[1].features)
    pitch_probe = teach_pitch(
        vectors, lessons[0].features, learnt, tokens_per_second, settings.pitch_steps
    )
    found = pitches_found(pitch_probe, lessons[1].features, unheard, tokens_per_second)
    return {
        "learnt_songs": len(learnt),
        "last_loss": rounded(loss),
        **figures_of(heard, lessons[1], unheard, tokens_per_second),
        "pitch": share_in_songs(found),
    }


def new_listener(front_end: torch.nn.Module, channels: int, settings: LessonSettings) -> Listener:
    """An untaught listener for the synthetic music; its beginning depends on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return Listener(
            front_end,
            channels,
            num_vowels=len(VOWELS),
            num_genres=len(GENRES),
            num_artists=len(ARTISTS),
            settings=settings,
        )


def _drop_codes(num_codes: int) -> Callable[[Tensor, torch.Generator], Tensor]:
    def drop(codes: Tensor, generator: torch.Generator) -> Tensor:
        dropped = torch.rand(codes.shape, generator=generator) < 0.05
        others = torch.randint(num_codes, codes.shape, generator=generator)
        return torch.where(dropped, others, codes)

    return drop


def figures_of(
    heard: Heard, lesson: Lesson, songs: Sequence[KnownSong], frames_per_second: float
) -> dict[str, Any]:
    """Genres, artists and vowels that were heard right, with their chance.

    A vowel is judged in the middle of its time, among the five vowels alone; its chance is that
    of always saying the commonest.
    """
    judged = vowels_at_middles(heard.vowels, songs, frames_per_second)
    asked = [wanted for song in judged for wanted, _ in song]
    commonest = max((asked.count(vowel) for vowel in set(asked)), default=0)
    return {
        "vowel": {
            **share_in_songs([[wanted == found for wanted, found in song] for song in judged]),
            "chance": rounded(Share(commonest, len(asked)).value),
        },
        "genre": {
            **share_of((heard.genres.argmax(dim=1) == lesson.genres).numpy()).to_json(),
            "chance": rounded(1 / len(GENRES)),
        },
        "artist": {
            **share_of((heard.artists.argmax(dim=1) == lesson.artists).numpy()).to_json(),
            "chance": rounded(1 / len(ARTISTS)),
        },
    }


def vowels_at_middles(
    vowels: Tensor, songs: Sequence[KnownSong], frames_per_second: float
) -> list[list[tuple[int, int]]]:
    """For every song the vowel that is sung and the one that is heard, of all inside the frames.

    vowels  float32 [N, T, 1 + vowels], log-probabilities as a listener gives them
    """
    judged: list[list[tuple[int, int]]] = []
    for rows, song in zip(vowels, songs, strict=True):
        judged.append([])
        for span in song.vowel_spans():
            frame = int(span.middle_sec * frames_per_second)
            if frame < len(rows):
                judged[-1].append((span.vowel, int(rows[frame, 1:].argmax())))
    return judged


def _gate(levels: dict[str, Any], probes: dict[str, Any]) -> dict[str, Any]:
    missed = [
        f"{name}: perplexity is {figures['perplexity_share']:.0%} of the codes, "
        f"wanted {PERPLEXITY_WANTED:.0%}"
        for name, figures in levels.items()
        if figures["perplexity_share"] < PERPLEXITY_WANTED
    ]
    top = probes.get(Level.TOP.label)
    if top is not None:
        wanted_shares = {
            "vowel": VOWELS_WANTED,
            "artist": ARTISTS_WANTED,
            "pitch": PITCHES_WANTED,
        }
        for kind, wanted in wanted_shares.items():
            share = top[kind]["share"]
            if kind == "pitch" and not top[kind]["number"]:  # nobody knows the notes
                continue
            if share is None or share < wanted:
                missed.append(f"top codes: {kind} found in {share or 0:.0%}, wanted {wanted:.0%}")
    return {"passed": not missed and top is not None, "missed": missed}
