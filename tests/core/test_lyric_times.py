"""From attention to times, and to the files that players read."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from jukebox_core.alignment.formats import from_json, to_json, to_lrc, to_webvtt
from jukebox_core.alignment.times import (
    FRAME_SEC,
    LyricTimes,
    TimedText,
    best_path,
    frame_tokens,
    lyric_times,
    pool_alignment,
)
from jukebox_core.model import JukeboxModel
from jukebox_core.units import Level

TEXT = "One fine\nday, <we> sang\n\n  two & more  "
TOKENS_PER_SECOND = 344.53125
LRC_TIME = r"(\d{2,}):([0-5]\d)\.(\d\d)"
VTT_TIME = r"(\d{2,}):([0-5]\d):([0-5]\d)\.(\d{3})"


def sung(text, spans, duration_sec, tokens_per_second=TOKENS_PER_SECOND, noise=0.0):
    """An alignment in which character i is attended to during spans[i] = (start, end)."""
    random = np.random.default_rng(0)
    num_tokens = int(duration_sec * tokens_per_second)
    alignment = random.random((num_tokens, len(text))) * noise
    for index, (start, end) in spans.items():
        alignment[int(start * tokens_per_second) : int(end * tokens_per_second), index] += 0.8
    return alignment.astype(np.float32)


def evenly(text, begin, end):
    each = (end - begin) / len(text)
    return {i: (begin + i * each, begin + (i + 1) * each) for i in range(len(text))}


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_characters_sung_one_after_the_other_are_found_where_they_are(noise):
    spans = evenly(TEXT, 1.0, 9.0)
    times = lyric_times(
        sung(TEXT, spans, 10.0, noise=noise), TEXT, tokens_per_second=TOKENS_PER_SECOND
    )
    for index, character in enumerate(times.characters):
        assert character.text == TEXT[index]
        assert character.start_sec == pytest.approx(spans[index][0], abs=1.5 * FRAME_SEC)
        assert character.end_sec == pytest.approx(spans[index][1], abs=1.5 * FRAME_SEC)
        assert character.confidence > 0.5
    assert [word.text for word in times.words] == TEXT.split()
    assert [line.text for line in times.lines] == ["One fine", "day, <we> sang", "two & more"]
    assert times.words[0].start_sec == times.characters[0].start_sec
    assert times.words[0].end_sec == times.characters[2].end_sec
    assert times.lines[1].end_sec == times.words[4].end_sec
    assert times.duration_sec == pytest.approx(10.0, abs=0.01)


def test_a_break_between_two_words_belongs_to_neither():
    text = "before after"
    spans = evenly("before", 1.0, 2.0) | {
        7 + i: span for i, span in evenly("after", 8.0, 9.0).items()
    }
    times = lyric_times(sung(text, spans, 10.0), text, tokens_per_second=TOKENS_PER_SECOND)
    first, second = times.words
    assert first.end_sec == pytest.approx(2.0, abs=0.1)
    assert second.start_sec == pytest.approx(8.0, abs=0.1)


def test_what_a_part_of_a_song_leaves_out_has_no_time():
    words = [f"word{number:02d}" for number in range(30)]
    text = " ".join(words)
    begin, end = text.index("word08"), text.index("word12") + len("word12")
    spans = {begin + i: span for i, span in evenly(text[begin:end], 0.0, 5.0).items()}
    times = lyric_times(sung(text, spans, 5.0), text, tokens_per_second=TOKENS_PER_SECOND)
    timed = [word.text for word in times.words if word.start_sec is not None]
    assert timed == words[8:13]
    assert "word07" not in to_lrc(times)
    assert json.loads(to_json(times))["words"][7]["start_seconds"] is None


def test_a_verse_that_was_left_out_has_no_time_and_a_letter_sung_too_fast_has_one():
    text = "first " + "left out of the song " + "last"
    spans = evenly("first", 0.0, 1.0)
    del spans[2]
    spans |= {27 + i: span for i, span in evenly("last", 1.0, 2.0).items()}
    times = lyric_times(sung(text, spans, 2.0), text, tokens_per_second=TOKENS_PER_SECOND)
    assert [word.text for word in times.words if word.start_sec is not None] == ["first", "last"]
    fast = times.characters[2]
    assert times.characters[1].start_sec < fast.start_sec <= times.characters[3].start_sec
    assert fast.confidence == 0.0


def sung_twice(text, seconds):
    """The whole text in the first `seconds`, and again in the next ones."""
    once = sung(text, evenly(text, 0.0, seconds), seconds)
    return np.concatenate([once, once])


def times_of(words):
    return [pytest.approx((word.start_sec, word.end_sec), abs=FRAME_SEC) for word in words]


def found(words):
    return [(word.start_sec, word.end_sec) for word in words]


def test_words_that_were_sung_before_a_join_are_not_stretched_over_what_was_added():
    text = "one two three four"
    alone = lyric_times(
        sung(text, evenly(text, 0.0, 4.0), 4.0), text, tokens_per_second=TOKENS_PER_SECOND
    )
    times = lyric_times(
        sung_twice(text, 4.0), text, tokens_per_second=TOKENS_PER_SECOND, joins_sec=[4.0]
    )
    assert found(times.words) == times_of(alone.words)
    assert times.duration_sec == pytest.approx(8.0, abs=0.02)
    again = lyric_times(
        np.concatenate([sung_twice(text, 4.0)] * 2),
        text,
        tokens_per_second=TOKENS_PER_SECOND,
        joins_sec=[4.0, 8.0, 12.0],
    )
    assert found(again.words) == times_of(alone.words), "however often it is continued"


def test_what_is_left_of_the_words_is_sung_behind_the_join():
    text = "one two three four"
    spans = evenly(text[:7], 0.0, 3.0)
    spans |= {8 + i: span for i, span in evenly(text[8:], 5.0, 9.0).items()}
    alignment = sung(text, spans, 10.0)
    times = lyric_times(alignment, text, tokens_per_second=TOKENS_PER_SECOND, joins_sec=[3.0])
    free = lyric_times(alignment, text, tokens_per_second=TOKENS_PER_SECOND)
    assert found(times.words) == times_of(free.words)
    assert all(word.start_sec is not None for word in times.words)


def test_a_word_that_a_join_cuts_goes_on_behind_it():
    text = "wonderful day"
    alignment = sung(text, evenly(text, 0.0, 6.5), 7.0)
    times = lyric_times(alignment, text, tokens_per_second=TOKENS_PER_SECOND, joins_sec=[2.0])
    free = lyric_times(alignment, text, tokens_per_second=TOKENS_PER_SECOND)
    for word, whole in zip(times.words, free.words, strict=True):
        assert word.start_sec == pytest.approx(whole.start_sec, abs=2 * FRAME_SEC)
        assert word.end_sec == pytest.approx(whole.end_sec, abs=2 * FRAME_SEC)


def test_noise_before_a_join_uses_up_no_words():
    text = "one two"
    random = np.random.default_rng(3)
    intro = random.random((int(5 * TOKENS_PER_SECOND), len(text))).astype(np.float32) * 0.1
    alignment = np.concatenate([intro, sung(text, evenly(text, 1.0, 3.0), 5.0)])
    times = lyric_times(alignment, text, tokens_per_second=TOKENS_PER_SECOND, joins_sec=[5.0])
    assert [word.start_sec > 5.5 for word in times.words] == [True, True]


def test_the_last_word_does_not_last_until_it_is_looked_at_again():
    text = "one two"
    spans = evenly(text, 0.0, 2.0)
    alignment = sung(text, spans, 10.0)
    alignment[int(9.5 * TOKENS_PER_SECOND) :, 6] = 0.8
    times = lyric_times(alignment, text, tokens_per_second=TOKENS_PER_SECOND)
    assert times.words[-1].end_sec - times.words[-1].start_sec < 1.5


@given(st.lists(st.floats(0.0, 12.0), max_size=4))
@settings(deadline=None, max_examples=30)
def test_joins_anywhere_leave_times_in_order(joins_sec):
    text = "one two\nthree"
    times = lyric_times(
        sung_twice(text, 5.0), text, tokens_per_second=20.0, joins_sec=sorted(joins_sec)
    )
    starts = [each.start_sec for each in times.characters if each.start_sec is not None]
    assert starts == sorted(starts)
    _check_lrc(to_lrc(times))


attentions = arrays.arrays(
    np.float32,
    st.tuples(st.integers(0, 40), st.integers(0, 25)),
    elements=st.one_of(st.just(0.0), st.floats(0, 1, width=32)),
)


@given(attentions, st.text("ab \n", max_size=25), st.floats(0.5, 500))
@settings(max_examples=300, deadline=None)
def test_times_never_go_back_and_stay_inside_the_song(alignment, text, tokens_per_second):
    text = (text + "x" * 25)[: alignment.shape[1]]
    times = lyric_times(alignment, text, tokens_per_second=tokens_per_second)
    assert "".join(character.text for character in times.characters) == text
    last = 0.0
    for character in times.characters:
        if character.start_sec is None:
            assert character.end_sec is None
            continue
        assert last <= character.start_sec <= character.end_sec <= times.duration_sec
        assert 0.0 <= character.confidence <= 1.0
        last = character.start_sec
    for part in (*times.words, *times.lines):
        inside = times.characters[part.first_character : part.first_character + len(part.text)]
        assert "".join(character.text for character in inside) == part.text
        starts = [c.start_sec for c in inside if c.start_sec is not None]
        assert part.start_sec == (starts[0] if starts else None)
    assert [word.text for word in times.words] == text.split()
    assert [line.text for line in times.lines] == [
        line.strip() for line in text.split("\n") if line.strip()
    ]
    _check_lrc(to_lrc(times))
    _check_webvtt(to_webvtt(times))
    assert json.loads(to_json(times))["text"] == text


def _check_lrc(lrc):
    begins = []
    for line in lrc.splitlines():
        stamps = [(int(m), int(s), int(h)) for m, s, h in re.findall(LRC_TIME, line)]
        assert stamps == sorted(stamps)
        if not line.startswith("[length:"):
            assert re.match(rf"\[{LRC_TIME}\]<{LRC_TIME}>\S", line)
            begins.append(stamps[0])
    assert begins == sorted(begins)


def _check_webvtt(vtt):
    head, *cues = vtt.removesuffix("\n").split("\n\n")
    assert head == "WEBVTT"
    begins = []
    for number, cue in enumerate(cues, start=1):
        name, timing, payload = cue.split("\n")
        assert name == str(number)
        begin, end = [tuple(map(int, time)) for time in re.findall(VTT_TIME, timing)]
        assert begin < end
        inner = [tuple(map(int, time)) for time in re.findall(f"<{VTT_TIME}>", payload)]
        assert all(a < b for a, b in zip([begin, *inner], [*inner, end], strict=True))
        assert "<" not in re.sub(f"<{VTT_TIME}>", "", payload)
        begins.append(begin)
    assert begins == sorted(begins)


@given(attentions.filter(lambda a: a.size > 0))
@settings(max_examples=200, deadline=None)
def test_the_path_is_the_best_of_all_that_never_go_back(frames):
    path = best_path(frames)
    assert (np.diff(path) >= 0).all()
    best = frames[0].astype(np.float64)
    for row in frames[1:]:
        best = np.array([best[: i + 1].max() for i in range(len(best))]) + row
    gathered = frames[np.arange(len(frames)), path].astype(np.float64).sum()
    assert gathered == pytest.approx(best.max())


@given(st.integers(0, 60), st.integers(1, 9), st.data())
@settings(deadline=None)
def test_rows_may_come_in_any_pieces(num_rows, tokens_per_frame, data):
    rows = np.random.default_rng(num_rows).random((num_rows, 3)).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, num_rows), max_size=6)))
    whole = pool_alignment([rows], tokens_per_frame)
    pieces = pool_alignment(np.split(rows, cuts), tokens_per_frame)
    assert whole.shape == (-(-num_rows // tokens_per_frame), 3)
    np.testing.assert_allclose(pieces, whole, atol=1e-6)


def test_a_pooled_alignment_gives_the_times_of_the_whole_one():
    text = "one two"
    alignment = sung(text, evenly(text, 0.5, 2.5), 3.03, tokens_per_second=100.0)
    whole = lyric_times(alignment, text, tokens_per_second=100.0)
    per_frame = frame_tokens(100.0)
    frames = pool_alignment(np.array_split(alignment, 7), per_frame)
    pooled = lyric_times(
        frames, text, tokens_per_second=100.0 / per_frame, duration_sec=len(alignment) / 100.0
    )
    assert pooled == whole


def test_an_instrumental_has_empty_files():
    times = lyric_times(np.zeros((500, 0), np.float32), "", tokens_per_second=100.0)
    assert times.characters == times.words == times.lines == ()
    assert to_webvtt(times) == "WEBVTT\n"
    assert to_lrc(times) == "[length:00:05.00]\n"
    assert json.loads(to_json(times))["duration_seconds"] == 5.0


def test_the_files_look_as_players_want_them():
    text = "Hi <there>"
    times = lyric_times(
        sung(text, evenly(text, 1.0, 3.0), 4.0, tokens_per_second=100.0),
        text,
        tokens_per_second=100.0,
    )
    assert to_lrc(times).splitlines() == [
        "[length:00:04.00]",
        "[00:01.00]<00:01.00>Hi <00:01.60><there> <00:03.00>",
    ]
    assert to_lrc(times, word_times=False).splitlines()[1] == "[00:01.00]Hi <there>"
    assert to_webvtt(times) == (
        "WEBVTT\n\n1\n00:00:01.000 --> 00:00:03.000\nHi <00:00:01.600>&lt;there&gt;\n"
    )
    word = json.loads(to_json(times))["words"][1]
    assert word.pop("confidence") == pytest.approx(0.8, abs=0.01)
    assert word == {
        "text": "<there>",
        "first_character": 3,
        "start_seconds": 1.6,
        "end_seconds": 3.0,
    }


def test_a_long_song_needs_little_memory():
    """Ten minutes and 5,000 characters: the alignment itself would take 4 GB."""
    code = """
import numpy as np
from jukebox_core.alignment.times import lyric_times, pool_alignment
def peak_kib():  # ru_maxrss would begin with the peak of the process that started this one
    return next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line)
def blocks():
    for first in range(0, 206_718, 4096):
        block = np.zeros((min(4096, 206_718 - first), 5000), np.float32)
        rows = np.arange(len(block))
        block[rows, (first + rows) * 5000 // 206_718] = 0.5
        yield block
before = peak_kib()
frames = pool_alignment(blocks(), 17)
times = lyric_times(frames, "abcd " * 1000, tokens_per_second=344.53125 / 17)
assert len(times.words) == 1000
assert abs(times.words[500].start_sec - 300) < 0.2
used_mib = (peak_kib() - before) / 1024
assert used_mib < 1200, used_mib
import sys
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "alignment",
    [
        np.zeros((5, 3), np.float32),
        np.zeros(4, np.float32),
        np.full((5, 4), np.nan, np.float32),
        np.full((5, 4), -1.0, np.float32),
    ],
)
def test_what_is_no_alignment_of_the_text_is_refused(alignment):
    with pytest.raises(ValueError, match=r"does not fit|attention is a finite number"):
        lyric_times(alignment, "four", tokens_per_second=10.0)


def test_what_is_written_as_json_can_be_read_again():
    times = lyric_times(np.eye(5, dtype=np.float32).repeat(7, axis=0), "la lo", tokens_per_second=9)
    again = from_json(to_json(times))
    assert to_json(again) == to_json(times)
    assert to_webvtt(again) == to_webvtt(times)
    assert [word.text for word in again.words] == ["la", "lo"]


def _sung_at(index):
    return TimedText(
        text="la", first_character=3 * index, start_sec=index, end_sec=index + 0.5, confidence=1.0
    )


class _CountedWords(tuple):
    """Words that count how often one of them is handed out."""

    handed_out = 0

    def __iter__(self):
        for word in super().__iter__():
            _CountedWords.handed_out += 1
            yield word


@pytest.mark.parametrize("write", [to_lrc, to_webvtt])
def test_writing_lyrics_looks_at_each_word_once_however_many_lines_there_are(write):
    num_lines = 5000
    words = _CountedWords(_sung_at(i) for i in range(num_lines))
    lines = tuple(_sung_at(i) for i in range(num_lines))
    times = LyricTimes(
        text="la\n" * num_lines, duration_sec=5000.0, characters=(), words=words, lines=lines
    )
    _CountedWords.handed_out = 0
    assert write(times).count("la") == num_lines
    assert _CountedWords.handed_out == num_lines


def test_continuing_a_song_of_mini_leaves_the_times_of_its_words():
    text = "Hello there\nis anybody home"
    model = JukeboxModel.from_pretrained("mini")
    labels = model.tokenizer("orlavane", "tidedub", text)
    rate = model.config.time_base.tokens_per_second(Level.TOP)
    (codes,) = model.ancestral_sample(labels, duration_sec=6.0, seed=7, levels=["top"])
    joins_sec, before = [], None
    for duration_sec in (6.0, 12.0, 18.0):
        if joins_sec:
            (codes,) = model.continue_sample(
                [codes], labels, duration_sec=duration_sec, seed=7, levels=["top"]
            )
        (alignment,) = model.align(codes, labels, song_duration_sec=20.0)
        times = lyric_times(
            alignment.numpy(), text, tokens_per_second=rate, joins_sec=tuple(joins_sec)
        )
        words = before.words if before else ()
        # The last one that is sung may be sung on behind the join.
        last = max((i for i, word in enumerate(words) if word.end_sec is not None), default=0)
        for word, earlier in zip(times.words, words[:last], strict=False):
            if earlier.end_sec is not None and earlier.end_sec < joins_sec[-1] - 0.5:
                assert (word.start_sec, word.end_sec) == (
                    pytest.approx(earlier.start_sec, abs=FRAME_SEC),
                    pytest.approx(earlier.end_sec, abs=FRAME_SEC),
                )
        joins_sec.append(codes.shape[1] / rate)
        before = times
    assert sum(word.start_sec is not None for word in before.words) >= 3
