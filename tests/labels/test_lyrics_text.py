"""Line breaks, time stamps and marks in lyrics, and files in other encodings."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jukebox_core import read_lyrics
from jukebox_core.alignment.formats import to_lrc, to_webvtt
from jukebox_core.alignment.times import LyricTimes, TimedText
from jukebox_core.errors import LabelError
from jukebox_core.labels import LyricAlphabet, decode_text, normalize_line_breaks
from jukebox_core.labels.lyrics_text import MAX_REPEATED_CHARACTERS
from tests.labels.golden import golden_tokenizer

LINE_BREAKS = ["\r\n", "\r", "\n", "\v", "\f", "\x85", "\u2028", "\u2029"]
PLAIN = st.text(st.sampled_from("abc XYZ12.,:;!?-'\"()<>&\n"), max_size=200)


@pytest.mark.parametrize("line_break", LINE_BREAKS)
def test_every_line_break_is_sung_as_one(line_break):
    assert normalize_line_breaks(f"there{line_break}is") == "there\nis"
    for wanted in ("auto", "plain", "lrc", "srt", "vtt"):
        assert read_lyrics(f"there{line_break}is", wanted).text == "there\nis"
    tokenizer = golden_tokenizer("prior_5b_lyrics")
    (song,) = tokenizer("", "", f"there{line_break}is").songs
    assert LyricAlphabet("v2").decode(song[0].lyric_ids) == "there\nis"


@pytest.mark.parametrize("line_break", ["\r", "\v", "\f", "\x85"])
def test_verbatim_is_what_the_original_reads(line_break):
    """Jobs of older releases go on with it, and golden numbers are compared with it."""
    tokenizer = golden_tokenizer("prior_5b_lyrics")
    (song,) = tokenizer("", "", f"there{line_break}is", lyrics_format="verbatim").songs
    assert LyricAlphabet("v2").decode(song[0].lyric_ids) == "thereis"


@given(PLAIN)
def test_text_without_marks_is_not_changed(text):
    assert read_lyrics(text).text == text
    assert read_lyrics(text, "plain").text == text


@given(st.text(st.sampled_from("[]<>:0123456789. -\nverse xchorus&{}\\"), max_size=120))
def test_plain_changes_nothing_and_auto_is_done_after_one_pass(text):
    assert read_lyrics(text, "plain").text == text
    once = read_lyrics(text).text
    assert len(once) <= max(len(text), MAX_REPEATED_CHARACTERS)


LRC = "[ti:A title]\n[00:12.00]Hello there\n[00:15.50]is anybody home\n"
SRT = (
    "1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> &amp; you,\nthere\n\n"
    "2\n00:00:03,000 --> 00:00:04,000\n{\\an8}is anybody home\n"
)
VTT = (
    "WEBVTT - a title\nKind: captions\n\nNOTE not\nsung\n\nintro\n"
    "00:01.000 --> 00:02.000 align:start\n<v Ann>Hello <00:01.500>there\n\n"
    "00:03.000 --> 00:04.000\nis anybody home\n"
)


@pytest.mark.parametrize(
    ("text", "found", "sung", "num_times"),
    [
        (LRC, "lrc", "Hello there\nis anybody home", 2),
        (LRC.replace("\n", "\r"), "lrc", "Hello there\nis anybody home", 2),
        ("\ufeff" + LRC, "lrc", "Hello there\nis anybody home", 2),
        (SRT, "srt", "Hello & you,\nthere\nis anybody home", 2),
        (SRT.replace("\n\n", "\n"), "srt", "Hello & you,\nthere\nis anybody home", 2),
        (VTT, "vtt", "Hello there\nis anybody home", 2),
        ("[0:01]<00:01.20>Hel<00:01.40>lo <00:02>you", "lrc", "Hello you", 1),
        ("[00:01:20] Hello\n[01:00:02.5]you\n[00:09]\n[00:10]too", "lrc", "Hello\nyou\n\ntoo", 4),
        ("[00:30.00][00:10.00]la\n[00:20]lo", "lrc", "la\nlo\nla", 3),
        ("[00:01][Verse 1]\n[00:02]Hello", "lrc", "Hello", 2),
    ],
)
def test_time_stamps_are_not_sung(text, found, sung, num_times):
    read = read_lyrics(text)
    assert (read.text, read.format, read.num_times) == (sung, found, num_times)
    assert read_lyrics(text, found) == read


@pytest.mark.parametrize(
    ("text", "sung"),
    [
        ("[Verse]\nHello", "Hello"),
        ("[Verse 1: Ann & Bob]\nHello\n\n[Chorus x2]\nla la", "Hello\n\nla la"),
        ("[Instrumental]", ""),
        ("[Intro]\n\n[Guitar Solo]\n\nHello", "Hello"),
        ("[Refr\u00e3o]\nHello", "Hello"),
        ("[Chorus] x2\nHello [Bridge]: you", "Hello [Bridge]: you"),
        ("[Chorus] (2x)\n[CHORUS]: \nHello", "Hello"),
        ("  [Pre-Chorus] la la", "la la"),
        ("Hello [and] (you)", "Hello [and] (you)"),
        ("[softly] hello", "[softly] hello"),
        ("[Verse", "[Verse"),
    ],
)
def test_marks_are_not_sung_and_other_brackets_are(text, sung):
    assert read_lyrics(text).text == sung
    assert read_lyrics(text, "plain").text == text


@given(st.lists(st.text("abcxyz ',", min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_the_lyric_times_that_we_write_can_be_sung_again(lines):
    def part(text, number, place):
        return TimedText(
            text=text,
            first_character=place,
            start_sec=float(number),
            end_sec=number + 0.5,
            confidence=1.0,
        )

    words, timed = [], []
    place = 0
    for number, line in enumerate(lines):
        words += [part(word, number, place) for word in line.split()]
        timed.append(part(line, number, place))
        place += len(line) + 1
    times = LyricTimes(
        text="\n".join(lines),
        duration_sec=60.0,
        characters=(),
        words=tuple(words),
        lines=tuple(timed),
    )
    wanted = [word for line in lines for word in line.split()]
    for text in (to_lrc(times), to_lrc(times, word_times=False), to_webvtt(times)):
        assert read_lyrics(text).text.split() == wanted


def test_a_line_that_is_sung_a_thousand_times_is_refused():
    with pytest.raises(LabelError, match=r"at most 20,000"):
        read_lyrics("[00:01]" * 1_000 + "la" * 1_000)


def test_an_unknown_format_is_refused():
    with pytest.raises(LabelError, match="auto, plain, lrc"):
        read_lyrics("la", "ass")


HOSTILE = [
    "[", "[[]", "[]", "[] ", " ", "<", "<a", "<1:00", "[verse ", "[verse] ", "[ ", "1:00", "[0:01",
    "\n", "a\n1\n", "{\\", "[0:01]\n", "-->", "0:01 --> 0:02 ", "&#", "[x2", "[]\t", "\r\v",
]  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("wanted", ["auto", "lrc", "srt"])
def test_no_text_takes_longer_than_its_length(unit, wanted):
    """A quarter of a second; what grows with the square of 400,000 characters takes a minute."""
    text = unit * (400_000 // len(unit))
    start = time.thread_time()
    read_lyrics(text, wanted)
    assert time.thread_time() - start < 10.0


TEXT = "Le caf\u00e9 \u2013 d'abord\nis here\n"


def test_files_in_utf_8_are_read_with_and_without_a_mark():
    assert decode_text(TEXT.encode(), "a.txt") == TEXT
    assert decode_text(b"\xef\xbb\xbf" + TEXT.encode(), "a.txt") == TEXT
    assert decode_text(b"", "a.txt") == ""


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_refused_with_what_to_do(encoding):
    with pytest.raises(LabelError, match=r"a\.txt .*UTF-16.*iconv -f UTF-16 -t UTF-8"):
        decode_text(TEXT.encode(encoding), "a.txt")


@pytest.mark.parametrize(
    ("content", "byte"),
    [(TEXT.encode("cp1252"), "0xE9"), ("ok\n\u3053\u3093".encode("shift_jis"), "0x82")],
)
def test_other_encodings_are_refused_with_the_place_and_what_to_do(content, byte):
    with pytest.raises(LabelError, match=rf"a\.txt .*line [12] .*{byte}.*UTF-8.*iconv"):
        decode_text(content, "a.txt")
