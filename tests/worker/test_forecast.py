"""How long a job takes and how far it is: told from the first minute on, for every kind of job."""

import pytest

from jobs.forecast import PartKind, song_costs
from jobs.model_figures import ModelSpeed
from jobs.record.job import Stage
from jukebox_core.models.catalog import BUNDLED_MODELS, read_config
from jukebox_core.models.released import released_config
from jukebox_core.sampling.infill import section_infills
from jukebox_core.sampling.step_cost import CPU_WEIGHTS_PER_SEC
from jukebox_core.units import Level
from tests.worker.pretended_song import Machine, PretendedSong, planned_job

RELEASED = released_config("1b_lyrics")
MINI = read_config(BUNDLED_MODELS / "mini")
LOADING, SOUND, FILES = PartKind.LOADING, PartKind.SOUND, PartKind.FILES
GUESS = {"weights_per_sec": CPU_WEIGHTS_PER_SEC["int8"]}
LEVELS = ("top", "middle", "bottom")


def two_cores(seconds, *, lyric_times, rows=(8, 8, 8), **others):
    """1b_lyrics in int8 on two cores, as it was measured, for a song of so many seconds."""
    sound = {"top": 0.2 * seconds, "middle": 0.15 * seconds, "bottom": 0.6 * seconds}
    parts = {(SOUND, level): sec for level, sec in sound.items()}
    parts |= {(LOADING, level): 3.0 for level in LEVELS}
    parts |= {(FILES, level): 0.2 for level in LEVELS}
    parts |= {(PartKind.LYRIC_TIMES, "top"): lyric_times, (PartKind.RENDERING, None): 0.3}
    return Machine(
        step={Level.TOP: 0.040, Level.MIDDLE: 0.031, Level.BOTTOM: 0.031},
        window={Level.TOP: 3.0, Level.MIDDLE: 1.5, Level.BOTTOM: 1.5},
        others=parts | {(PartKind(kind), None): sec for kind, sec in others.items()},
        rows=dict(zip((Level.TOP, Level.MIDDLE, Level.BOTTOM), rows, strict=True)),
    )


def told(machine, **known):
    """What a worker knows of a machine: by default its rows, and a guess."""
    return ModelSpeed(rows={level.label: num for level, num in machine.rows.items()}, **known)


CASES = {
    "six seconds in parallel": (6.0, "parallel", 26.0, (8, 8, 8)),
    "twenty seconds in parallel": (20.0, "parallel", 140.0, (8, 8, 8)),
    "six seconds plain": (6.0, "exact", 26.0, (8, 8, 8)),
    "twenty seconds plain": (20.0, "exact", 140.0, (8, 8, 8)),
    "rows 2, 1, 1": (6.0, "parallel", 26.0, (2, 1, 1)),
    "rows 5, 3, 3": (6.0, "parallel", 26.0, (5, 3, 3)),
}


def assert_told(song):
    """It said something as soon as it could, never took progress back, and was right in time."""
    values = [value for _, value, _ in song.looks]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1.0)
    assert song.largest_error() <= 0.2
    total = song.looks[-1][0]
    assert max(abs(value - at / total) for at, value, _ in song.looks) <= 0.1


@pytest.mark.parametrize("slowness", [0.8, 3.0])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_left_is_told_within_a_fifth_from_the_first_minute_on(case, slowness):
    seconds, speed, lyric_times, rows = case
    job, planned = planned_job(RELEASED, duration_seconds=seconds, speed=speed)
    machine = two_cores(seconds, lyric_times=lyric_times, rows=rows).slowed(slowness)
    song = PretendedSong(job, planned, machine, told(machine, **GUESS)).run()
    assert all(left is not None for _, _, left in song.looks)
    assert_told(song)


def test_a_song_that_is_continued_from_a_recording():
    time_base = RELEASED.time_base
    prompt = {level: time_base.seconds_to_tokens(8.0, level) for level in Level}
    job, planned = planned_job(
        RELEASED,
        duration_seconds=14.0,
        speed="parallel",
        mode="continue",
        prompt_tokens=prompt,
        prompt_audio_name="prompt.wav",
    )
    machine = two_cores(14.0, lyric_times=52.0, prompt=6.0)
    song = PretendedSong(job, planned, machine, told(machine, **GUESS)).run()
    assert PartKind.PROMPT in {part.kind for part in song.costs.parts}
    assert_told(song)


def test_a_section_that_is_made_again():
    top_tokens = RELEASED.time_base.seconds_to_tokens(20.0, Level.TOP)
    infills = section_infills(RELEASED.time_base, 8 * 344, 11 * 344, top_tokens)
    prompt = {level: top_tokens * 4 ** (Level.TOP - level) for level in Level}
    job, planned = planned_job(
        RELEASED,
        duration_seconds=20.0,
        speed="parallel",
        prompt_tokens=prompt,
        infills=infills,
        parent_id="job_parent",
    )
    machine = two_cores(3.0, lyric_times=140.0)
    song = PretendedSong(job, planned, machine, told(machine, **GUESS)).run()
    assert_told(song)


@pytest.mark.parametrize("known", ["nothing", "songs"])
def test_a_long_song_of_mini(known):
    """Where nothing is known of a small model, its first tokens tell."""
    job, planned = planned_job(MINI, duration_seconds=120.0, lyrics="")
    steps = {Level.TOP: 1.3e-3, Level.MIDDLE: 1.0e-3, Level.BOTTOM: 0.9e-3}
    machine = Machine(
        step=steps,
        window=dict.fromkeys(Level, 0.02),
        others={(LOADING, level): 0.3 for level in LEVELS} | {(PartKind.RENDERING, None): 1.0},
        rows=dict.fromkeys(Level, 8),
    )
    rates = {Stage(level.label): 1.0 / step for level, step in steps.items()}
    speed = told(machine, has_spare_core=True)
    song = PretendedSong(job, planned, machine, speed, rates if known == "songs" else {}).run()
    first = next(at for at, _, left in song.looks if left is not None)
    assert first <= (2.0 if known == "songs" else 5.0)
    assert song.looks[-1][0] > 120.0
    assert song.largest_error() <= 0.2


def test_what_was_measured_here_is_told_before_a_token_is_sampled():
    """A queued job, too: a machine three times as slow as was guessed has said so."""
    machine = two_cores(6.0, lyric_times=26.0).slowed(3.0)
    job, planned = planned_job(RELEASED, duration_seconds=6.0, speed="parallel")
    first = PretendedSong(job, planned, machine, told(machine, **GUESS)).run()
    measured = {
        part.name: machine.others[part.kind, part.level] / part.products
        for part in first.costs.parts
        if part.products
    }
    steps = {
        level.label: (step, step * (1.0 + 7 * machine.row_share))
        for level, step in machine.step.items()
    }
    known = told(machine, product_sec=measured, steps=steps)
    costs = song_costs(planned, job, {}, known)
    assert costs.total_sec == pytest.approx(first.looks[-1][0], rel=0.1)
    again = PretendedSong(job, planned, machine, known).run()
    assert again.largest_error() <= 0.2


def test_fewer_rows_take_turns_in_the_model_of_costs():
    job, planned = planned_job(RELEASED, duration_seconds=6.0, speed="parallel")

    def tokens(*rows):
        machine = two_cores(6.0, lyric_times=0.0, rows=rows)
        return song_costs(planned, job, {}, told(machine, **GUESS)).tokens

    eight, few = tokens(8, 8, 8), tokens(2, 1, 1)
    assert few["top"] == eight["top"], "it has one row"
    assert few["bottom"] > 5.0 * eight["bottom"]
    assert eight["bottom"] < tokens(8, 5, 5)["bottom"] < few["bottom"]
