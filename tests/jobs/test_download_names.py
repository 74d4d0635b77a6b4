"""Names of downloads: the title, and nothing that a file system or a header would choke on."""

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.files.download_names import content_disposition, download_name, song_name

JOB_ID = "job_0123456789abcdef0123456789abcdef"
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d) *(\.|$)", re.IGNORECASE)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Rain", "Rain.mp3"),
        ("  Rain   in\tMay\n", "Rain in May.mp3"),
        ("AC/DC: live|loud \\o/", "AC-DC- live-loud -o-.mp3"),
        ('Say "what?" <now>*', "Say 'what' (now).mp3"),
        ("CON", "CON_.mp3"),
        ("nul.tar", "nul_.tar.mp3"),
        ("com1", "com1_.mp3"),
        ("Lpt9 .x", "Lpt9_ .x.mp3"),
        ("COM\N{SUPERSCRIPT TWO}", "COM\N{SUPERSCRIPT TWO}_.mp3"),
        ("Console", "Console.mp3"),
        ("wait...", "wait.mp3"),
        ("...hidden", "hidden.mp3"),
        ("-rf ~", "rf ~.mp3"),
        ("a\x00b\x1bc\x7fd", "abcd.mp3"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}3pm.exe", "3pm.exe.mp3"),
        ("\N{RIGHT-TO-LEFT MARK}\N{ZERO WIDTH SPACE}", f"{JOB_ID}.mp3"),
        ("../../etc/passwd", "etc-passwd.mp3"),
        (
            "e\N{COMBINING ACUTE ACCENT}t\N{COMBINING ACUTE ACCENT}",
            "ét\N{COMBINING ACUTE ACCENT}.mp3",
        ),
        ("Дождь", "Дождь.mp3"),
        ("雨 \N{UMBRELLA WITH RAIN DROPS}", "雨 \N{UMBRELLA WITH RAIN DROPS}.mp3"),
    ],
)
def test_a_title_becomes_a_name(title: str, expected: str):
    name = download_name(title, "mp3", job_id=JOB_ID)
    assert name == expected


def test_takes_and_levels_are_named_where_they_are_needed():
    assert download_name("Rain", "wav", sample=0) == "Rain.wav"
    assert download_name("Rain", "wav", sample=1) == "Rain (take 2).wav"
    assert download_name("Rain", "wav", level="top") == "Rain (top).wav"
    assert download_name("Rain", "wav", sample=2, level="top") == "Rain (take 3, top).wav"


def test_a_song_without_title_is_called_by_its_artist_and_id():
    assert song_name(None, "orlavane", JOB_ID) == "orlavane - job_01234567"
    assert song_name("", "", JOB_ID) == "job_01234567"
    assert song_name("Rain", "orlavane", JOB_ID) == "Rain"


ANY_TITLE = st.text(max_size=300) | st.text(
    alphabet=" .-~/\\:con\u202e\u200f\u200d\x00é雨🌧", max_size=90
)


@given(ANY_TITLE, st.integers(0, 15), st.sampled_from([None, "top", "middle"]))
@example("雨" * 200, 15, "middle")
@example("x" * 200, 0, None)
def test_no_title_makes_a_name_that_a_file_system_refuses(title: str, sample: int, level: str):
    name = download_name(title, "safetensors", sample=sample, level=level, job_id=JOB_ID)
    assert name.endswith(".safetensors")
    assert len(name.encode()) <= 200
    assert not set(name) & set('/\\:*?"<>|')
    categories = {unicodedata.category(each) for each in name if each != "\N{ZERO WIDTH JOINER}"}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert name[0] not in " .-~"
    stem = name.removesuffix(".safetensors")
    assert stem
    assert stem[-1] not in " ."
    assert not RESERVED.match(name)


@given(ANY_TITLE)
def test_the_header_is_ascii_and_says_the_whole_name(title: str):
    name = download_name(title, "mp3", job_id=JOB_ID)
    header = content_disposition(name)
    match = re.fullmatch(
        r"attachment; filename=\"([ !#-\[\]-~]+)\"; filename\*=UTF-8''([!-~]+)", header
    )
    assert match, header
    assert "%" not in match[1]
    assert match[1].endswith(".mp3")
    assert unquote(match[2]) == name


def test_plain_clients_get_a_transliterated_name():
    assert content_disposition("Дождь.mp3").startswith('attachment; filename="Dozhd\'.mp3"; ')
    assert content_disposition("\N{UMBRELLA WITH RAIN DROPS}.mp3").startswith(
        'attachment; filename="song.mp3"; '
    )
    assert content_disposition("a.png", kind="inline").startswith("inline; ")
