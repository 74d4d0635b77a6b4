"""How long a job takes and how far it is: told from the first minute on, for every kind of job."""

import pytest

from jobs.forecast import PartKind, song_costs
from jobs.model_figures import ModelSpeed, window_part
from jobs.record.job import Stage
from jukebox_core.models.catalog import BUNDLED_MODELS, read_config
from jukebox_core.models.released import released_config
from jukebox_core.sampling.infill import section_infills
from jukebox_core.sampling.step_cost import CPU_WEIGHTS_PER_SEC, conditioner_products
from jukebox_core.units import Level
from tests.worker.pretended_song import Machine, PretendedSong, planned_job

RELEASED = released_config("1b_lyrics")
MINI = read_config(BUNDLED_MODELS / "mini")
LOADING, SOUND, FILES = PartKind.LOADING, PartKind.SOUND, PartKind.FILES
GUESS = {"weights_per_sec": CPU_WEIGHTS_PER_SEC["int8"]}
LEVELS = ("top", "middle", "bottom")


def two_cores(seconds, *, lyric_times, rows=(8, 8, 8), **others):
    """1b_lyrics in int8 on two idle cores, for a song of so many seconds.

    As `python -m bench.whole_song MODEL --seconds 6` measured it, 361 s: 79 s for 2,067 steps of
    the top, which reads lyrics first; 81 s and 178 s for 1,484 and 4,584 steps of eight rows below
    it, 31 to 33 ms each by the looks in the middle of the bottom level, and eight windows that
    begin in each; 22 s for lyric times.
    """
    sound = {"top": 0.2 * seconds, "middle": 0.15 * seconds, "bottom": 0.6 * seconds}
    parts = {(SOUND, level): sec for level, sec in sound.items()}
    parts |= {(LOADING, level): 3.0 for level in LEVELS}
    parts |= {(FILES, level): 0.2 for level in LEVELS}
    parts |= {(PartKind.LYRIC_TIMES, "top"): lyric_times, (PartKind.RENDERING, None): 0.3}
    return Machine(
        step={Level.TOP: 0.0367, Level.MIDDLE: 0.0305, Level.BOTTOM: 0.0305},
        row_share=0.01,
        window={Level.TOP: 2.8, Level.MIDDLE: 3.4, Level.BOTTOM: 3.4},
        others=parts | {(PartKind(kind), None): sec for kind, sec in others.items()},
        rows=dict(zip((Level.TOP, Level.MIDDLE, Level.BOTTOM), rows, strict=True)),
    )


def told(machine, **known):
    """What a worker knows of a machine: by default its rows, and a guess."""
    return ModelSpeed(rows={level.label: num for level, num in machine.rows.items()}, **known)


CASES = {
    "six seconds in parallel": (6.0, "parallel", 22.0, (8, 8, 8), 1.0),
    "six seconds in parallel, a little faster": (6.0, "parallel", 22.0, (8, 8, 8), 0.8),
    "six seconds in parallel, three times slower": (6.0, "parallel", 22.0, (8, 8, 8), 3.0),
    "twenty seconds in parallel": (20.0, "parallel", 140.0, (8, 8, 8), 3.0),
    "six seconds plain": (6.0, "exact", 22.0, (8, 8, 8), 3.0),
    "twenty seconds plain": (20.0, "exact", 140.0, (8, 8, 8), 0.8),
    "rows 2, 1, 1": (6.0, "parallel", 22.0, (2, 1, 1), 3.0),
    "rows 5, 3, 3": (6.0, "parallel", 22.0, (5, 3, 3), 0.8),
}


def assert_told(song):
    """It said something as soon as it could, never took progress back, and was right in time."""
    values = [value for _, value, _ in song.looks]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1.0)
    assert song.largest_error() <= 0.2
    total = song.looks[-1][0]
    assert max(abs(value - at / total) for at, value, _ in song.looks) <= 0.1


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_left_is_told_within_a_fifth_from_the_first_minute_on(case):
    seconds, speed, lyric_times, rows, slowness = case
    job, planned = planned_job(RELEASED, duration_seconds=seconds, speed=speed)
    machine = two_cores(seconds, lyric_times=lyric_times, rows=rows).slowed(slowness)
    song = PretendedSong(job, planned, machine, told(machine, **GUESS)).run()
    assert all(left is not None for _, _, left in song.looks)
    assert_told(song)


SLOWNESS = {
    "twice from the middle of the bottom level on": {0.0: 1.0, 250.0: 2.0},
    "twice from the middle level on, and no more later": {0.0: 1.0, 130.0: 2.0, 280.0: 1.0},
    # A run beside a process at low priority (`python -m bench.whole_song MODEL --seconds 6`).
    "a busy machine": {0.0: 1.0, 20.0: 3.6, 300.0: 4.4, 410.0: 3.0},
}


@pytest.mark.parametrize("changes", SLOWNESS.values(), ids=SLOWNESS)
def test_a_machine_that_becomes_slower_is_noticed_within_a_minute(changes):
    """Until it does so, what is told is what is told where it never does."""
    job, planned = planned_job(RELEASED, duration_seconds=6.0, speed="parallel")
    machine = two_cores(6.0, lyric_times=22.0)

    def song_while(changes):
        def slowness(now):
            return changes[max(moment for moment in changes if moment <= now)]

        speed = told(machine, **GUESS)
        return PretendedSong(job, planned, machine, speed, slowness=slowness).run()

    song, *moments = song_while(changes), *list(changes)[1:]
    # A batch of steps that has begun ends as fast as it began.
    as_before = song_while({0.0: 1.0}).looks[: int(moments[0]) - 1]
    assert song.looks[: len(as_before)] == as_before
    assert song.looks[-1][0] > moments[-1] + 120.0
    assert song.largest_error(from_sec=moments[-1] + 60.0) <= 0.2


@pytest.mark.parametrize("known", ["nothing", "songs"])
@pytest.mark.parametrize("seconds", [20.0, 60.0])
def test_a_fast_song_of_a_gpu(seconds, known):
    """Many rows cost hardly more than one, a window begins in no time, loading takes longest."""
    job, planned = planned_job(RELEASED, duration_seconds=seconds, speed="parallel")
    steps = {Level.TOP: 6e-3, Level.MIDDLE: 5e-3, Level.BOTTOM: 5e-3}
    others = {(LOADING, level): 2.0 for level in LEVELS}
    others |= {(SOUND, level): 0.3 for level in LEVELS} | {(PartKind.RENDERING, None): 0.5}
    machine = Machine(
        step=steps,
        window=dict.fromkeys(Level, 0.05),
        others=others | {(PartKind.LYRIC_TIMES, "top"): 1.0},
        rows=dict.fromkeys(Level, 16),
        row_share=0.01,
        read_share=0.01,
    )
    rates = {Stage(level.label): 1.0 / step for level, step in steps.items()}
    speed = told(machine, is_on_gpu=True)
    song = PretendedSong(job, planned, machine, speed, rates if known == "songs" else {}).run()
    assert_told(song)
    assert song.largest_error(from_sec=10.0) <= 0.2


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


def of_mini(seconds, *, is_known, rendering, slowness=1.0):
    job, planned = planned_job(MINI, duration_seconds=seconds, lyrics="")
    steps = {Level.TOP: 1.3e-3, Level.MIDDLE: 1.0e-3, Level.BOTTOM: 0.9e-3}
    machine = Machine(
        step=steps,
        window=dict.fromkeys(Level, 0.02),
        others={(LOADING, level): 0.3 for level in LEVELS}
        | {(PartKind.RENDERING, None): rendering},
        rows=dict.fromkeys(Level, 8),
    ).slowed(slowness)
    rates = {Stage(level.label): 1.0 / step for level, step in steps.items()}
    speed = told(machine, has_spare_core=True)
    return PretendedSong(job, planned, machine, speed, rates if is_known else {}).run()


@pytest.mark.parametrize("is_known", [False, True])
def test_a_long_song_of_mini(is_known):
    """Where nothing is known of a small model, its first tokens tell."""
    song = of_mini(120.0, is_known=is_known, rendering=1.0)
    first = next(at for at, _, left in song.looks if left is not None)
    assert first <= (2.0 if is_known else 5.0)
    assert song.looks[-1][0] > 120.0
    assert song.largest_error() <= 0.2


@pytest.mark.parametrize("slowness", [1.0, 3.0])
@pytest.mark.parametrize("is_known", [False, True])
def test_a_short_song_of_mini_is_told_long_before_its_end(is_known, slowness):
    """On a machine that is busier than it was in earlier songs, too."""
    song = of_mini(20.0, is_known=is_known, rendering=0.3, slowness=slowness)
    assert song.largest_error(from_sec=song.looks[-1][0] / 4.0) <= 0.2


def test_what_was_measured_here_is_told_before_a_token_is_sampled():
    """A queued job, too: a machine three times as slow as was guessed has said so."""
    machine = two_cores(6.0, lyric_times=22.0).slowed(3.0)
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


def test_what_windows_took_to_begin_is_told_to_the_next_song():
    machine = two_cores(6.0, lyric_times=22.0)
    machine.window.update({Level.MIDDLE: 12.0, Level.BOTTOM: 12.0})
    job, planned = planned_job(RELEASED, duration_seconds=6.0, speed="parallel")
    first = PretendedSong(job, planned, machine, told(machine, **GUESS)).run()
    assert first.largest_error(from_sec=200.0) <= 0.2, "the middle level has told the bottom one"
    work, bottom = first.costs.levels[Level.BOTTOM], RELEASED.prior(Level.BOTTOM)
    as_measured, work_sec = first.progress.measured_as("bottom", work)
    began_sec = work_sec * work.unit * work.costs.window
    assert began_sec == pytest.approx(12.0, rel=0.1)
    step_sec = machine.step[Level.BOTTOM]
    assert as_measured.costs.window * step_sec == pytest.approx(12.0, rel=0.15)
    measured = {
        window_part(label): began_sec / conditioner_products(bottom)
        for label in ("middle", "bottom")
    }
    costs = song_costs(planned, job, {}, told(machine, product_sec=measured, **GUESS))
    assert costs.total_sec == pytest.approx(first.looks[-1][0], rel=0.1)


def test_a_level_that_no_song_has_told_of_is_as_fast_for_its_size_as_those_that_were():
    """A queued job is told by the first level of the song before it."""
    job, planned = planned_job(RELEASED, duration_seconds=6.0, speed="parallel")
    machine = two_cores(6.0, lyric_times=22.0)
    guessed, of_song = (
        song_costs(planned, job, rates, told(machine, **GUESS))
        for rates in ({}, {Stage.TOP: 1.0 / (3.0 * machine.step[Level.TOP])})
    )
    assert of_song.total_sec == pytest.approx(3.0 * guessed.total_sec, rel=0.05)


def test_fewer_rows_take_turns_in_the_model_of_costs():
    job, planned = planned_job(RELEASED, duration_seconds=6.0, speed="parallel")

    def tokens(*rows):
        machine = two_cores(6.0, lyric_times=0.0, rows=rows)
        return song_costs(planned, job, {}, told(machine, **GUESS)).tokens

    eight, few = tokens(8, 8, 8), tokens(2, 1, 1)
    assert few["top"] == eight["top"], "it has one row"
    assert few["bottom"] > 5.0 * eight["bottom"]
    assert eight["bottom"] < tokens(8, 5, 5)["bottom"] < few["bottom"]
