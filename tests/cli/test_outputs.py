"""Where commands write: formats, folders, names that are taken, and disks that refuse."""

import errno
import hashlib
import os

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from cli import outputs
from cli.errors import CliError, UsageError
from cli.outputs import SOUND_FORMATS, output_path
from jukebox_core.audio.files import AudioFormat
from jukebox_core.model import JukeboxModel
from tests.fixtures.scripted_service import (
    SOUND,
    Answer,
    job,
    json_answer,
    output,
    posted,
    script_a_song,
)

PARENT = "job_" + "0" * 31 + "1"
SONG = ("--genre", "drone", "--seed", "3", "--device", "cpu", "--seconds", "1")


@pytest.fixture
def generate(run, tiny_model_dir):
    begin = ("generate", "--model", str(tiny_model_dir), *SONG)
    return lambda *arguments, status=0: run(*begin, *arguments, status=status)


@pytest.fixture
def no_model(monkeypatch):
    def loaded(*_, **__):
        raise AssertionError("the model was loaded before the output was checked")

    monkeypatch.setattr(JukeboxModel, "from_pretrained", loaded)


def test_the_formats_are_those_of_the_library():
    assert set(SOUND_FORMATS) == {each.value for each in AudioFormat}


@pytest.mark.parametrize(
    ("text", "path", "is_folder"),
    [("a.wav", "a.wav", False), ("new/", "new", True), (".", ".", True), ("new/.", "new", True)],
)
def test_what_ends_with_a_slash_or_is_a_folder_is_a_folder(text, path, is_folder):
    found = output_path(text)
    assert (str(found.path), found.is_folder) == (path, is_folder)


WRONG_OUTPUTS = [
    (["-o", "x.m4a"], r"\.m4a cannot be written, only \.wav, \.flac, \.ogg, \.mp3"),
    (["-o", "song"], "no suffix .* write -o song/"),
    (["-o", ".wav"], "no suffix"),
    (["-o", "taken.wav"], "taken.wav exists already.*--overwrite"),
    (["-o", "file/x.wav"], "Not a directory"),
    (["-o", f"{'x' * 250}.wav"], "name too long"),
    (["-o", "taken.wav/"], "Not a directory"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG_OUTPUTS)
def test_generate_refuses_an_output_before_a_model_is_loaded(
    generate, no_model, tmp_path, arguments, sentence
):
    (tmp_path / "file").touch()
    (tmp_path / "taken.wav").touch()
    with pytest.raises(UsageError, match=sentence):
        generate(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.wav"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("c.npz", r"\.npz cannot"), ("codes", "suffix"), ("c.safetensors", "exists already")],
)
def test_generate_refuses_a_place_for_codes_before_a_model_is_loaded(
    generate, no_model, tmp_path, name, sentence
):
    (tmp_path / "c.safetensors").touch()
    with pytest.raises(UsageError, match=sentence):
        generate("--save-codes", name)


def test_a_default_name_that_is_taken_gets_a_number(generate, tmp_path):
    (tmp_path / "song.wav").write_bytes(b"mine")
    assert generate().stdout == "song-2.wav\n"
    assert generate().stdout == "song-3.wav\n"
    assert (tmp_path / "song.wav").read_bytes() == b"mine"
    assert generate("--overwrite").stdout == "song.wav\n"


def test_every_take_is_checked_before_a_model_is_loaded(generate, no_model, tmp_path):
    (tmp_path / "song-1.wav").touch()
    with pytest.raises(UsageError, match=r"song-1.wav exists"):
        generate("--takes", "2", "-o", "song.wav")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused_first(generate, no_model, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(UsageError, match="Permission denied"):
        generate("-o", "locked/x.wav")


def test_generate_writes_the_format_of_the_suffix_and_files_of_a_folder(generate, tmp_path):
    assert generate("-o", "new/x.flac").stdout == "new/x.flac\n"
    assert soundfile.info("new/x.flac").format == "FLAC"
    assert generate("-o", "songs/", "--takes", "2").stdout.splitlines() == [
        "songs/song-3-0.wav",
        "songs/song-3-1.wav",
    ]
    again = generate("-o", "songs/", "--takes", "2").stdout.splitlines()
    assert again == ["songs/song-3-0-2.wav", "songs/song-3-1-2.wav"]
    before = (tmp_path / "songs/song-3-1.wav").stat().st_mtime_ns
    generate("-o", "songs/", "--takes", "2", "--overwrite")
    assert (tmp_path / "songs/song-3-1.wav").stat().st_mtime_ns > before


def test_a_song_that_its_disk_refuses_is_kept_elsewhere_and_said(generate, tmp_path, monkeypatch):
    written = outputs.write_whole

    def full(target, write, *, overwrite):
        if target.parent.name == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return written(target, write, overwrite=overwrite)

    monkeypatch.setattr(outputs, "write_whole", full)
    with pytest.raises(
        CliError, match=r"full/x.wav could not.*the disk is full \(No space left.*kept in /.*/x.wav"
    ):
        generate("-o", "full/x.wav")
    assert soundfile.info("x.wav").duration == pytest.approx(1.0, abs=0.1)


def test_the_codes_of_a_song_that_cannot_be_decoded_are_kept(generate, monkeypatch):
    def fails(*_, **__):
        raise MemoryError

    monkeypatch.setattr(JukeboxModel, "decode", fails)
    assert "kept in song-3.safetensors" in generate("--stop-after", "top", status=1).stderr
    assert load_file("song-3.safetensors")["top"].shape[0] == 1


def test_a_file_that_appears_meanwhile_is_not_replaced(generate, monkeypatch, tmp_path):
    decode = JukeboxModel.decode

    def slow(*arguments, **named):
        (tmp_path / "x.wav").write_bytes(b"somebody else's")
        return decode(*arguments, **named)

    monkeypatch.setattr(JukeboxModel, "decode", slow)
    assert generate("-o", "x.wav").stdout == "x-2.wav\n"
    assert (tmp_path / "x.wav").read_bytes() == b"somebody else's"


COMMANDS = [["submit", "--model", "tiny"], ["continue", PARENT, "--seconds", "3"]]
COMMANDS += [["upsample", PARENT]]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("arguments", "sentence"), WRONG_OUTPUTS)
def test_an_output_is_refused_before_a_song_is_posted(
    service, run, tmp_path, command, arguments, sentence
):
    (tmp_path / "file").touch()
    (tmp_path / "taken.wav").touch()
    with pytest.raises(UsageError, match=sentence):
        run(*command, *arguments)
    assert service.requests == []


@pytest.mark.parametrize("command", COMMANDS)
def test_the_suffix_decides_the_format_that_is_asked_for(service, run, tmp_path, command):
    script_a_song(service)
    run(*command, "-o", "z.MP3")
    assert posted(service)["audio_format"] == "mp3"
    audio = [url for method, url, *_ in service.requests if "/audio?" in url]
    assert all("format=mp3" in url for url in audio)
    assert (tmp_path / "z-0.MP3").read_bytes() == SOUND


@pytest.mark.parametrize("command", COMMANDS)
def test_a_suffix_and_another_format_contradict_each_other(service, run, command):
    with pytest.raises(UsageError, match="contradict"):
        run(*command, "-o", "z.mp3", "--format", "wav")
    with pytest.raises(UsageError, match="--no-wait"):
        run(*command, "-o", "z.mp3", "--no-wait")


def test_a_new_folder_holds_the_songs_of_every_job(service, run, tmp_path):
    for number in ("1", "2"):
        script_a_song(service)
        done = job("succeeded", id=f"job_{number}", outputs=_one_output())
        service.on("GET", "/jobs/job_1", Answer(_json(done), 200))
        service.on("GET", "/jobs/job_1/events", Answer(b"", 404))
        service.on("GET", f"/jobs/job_{number}/audio", Answer(SOUND, 200, {"etag": '"1"'}))
        run("submit", "-o", "newdir/")
    names = sorted(path.name for path in (tmp_path / "newdir").iterdir())
    assert names == ["Nobody - job_1 (top).wav", "Nobody - job_2 (top).wav"]


def test_download_fetches_one_take_in_the_format_of_its_name(service, run, tmp_path):
    script_a_song(service)
    assert run("download", "job_1", "--take", "1", "-o", "second.flac").stdout == "second.flac\n"
    (url,) = [url for _, url, *_ in service.requests if "/audio?" in url]
    assert "sample=1" in url
    assert "format=flac" in url
    with pytest.raises(CliError, match=r"no take 2 .* it has 0, 1"):
        run("download", "job_1", "--take", "2")


def test_songs_of_one_title_get_a_number_and_are_fetched_once(service, run, tmp_path):
    other = b"another song"
    for number, sound in (("1", SOUND), ("2", other)):
        files = [output(sound, level="middle", sha256=hashlib.sha256(sound).hexdigest())]
        done = job("succeeded", id=f"job_{number}", outputs=files, title="../Rain?")
        service.on("GET", f"/jobs/job_{number}", json_answer(done))
        service.on("GET", f"/jobs/job_{number}/audio", Answer(sound, 200, {"etag": f'"{number}"'}))
    assert run("download", "job_1").stdout == "Rain.wav\n"
    assert run("download", "job_2").stdout == "Rain-2.wav\n"
    num_requests = len(service.requests)
    assert run("download", "job_1").stdout == "Rain.wav\n"
    assert run("download", "job_2").stdout == "Rain-2.wav\n"
    assert len(service.requests) == num_requests + 2, "only the jobs were asked for"
    assert (tmp_path / "Rain.wav").read_bytes() == SOUND
    assert (tmp_path / "Rain-2.wav").read_bytes() == other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Rain-2.wav", "Rain.wav"]


def test_an_archive_is_called_by_the_title_and_replaces_nothing(service, run, tmp_path):
    done = job("succeeded", title="Rain")
    service.on("GET", "/jobs/job_1", json_answer(done))
    service.on("GET", "/jobs/job_1/archive", Answer(b"PK", 200, {"etag": '"1"'}))
    assert run("download", "job_1", "--archive", "--format", "mp3").stdout == "Rain.zip\n"
    assert service.requests[-1][1].endswith("/archive?format=mp3")
    assert run("download", "job_1", "--archive").stdout == "Rain-2.zip\n"
    assert run("download", "job_1", "--archive", "-o", "all.zip").stdout == "all.zip\n"
    assert (tmp_path / "all.zip").read_bytes() == b"PK"
    for wrong in (("-o", "all.zip"), ("-o", "all.mp3"), ("--take", "0"), ("--level", "top")):
        with pytest.raises(UsageError):
            run("download", "job_1", "--archive", *wrong)


def test_download_into_a_folder_that_is_not_there_makes_it(service, run, tmp_path):
    script_a_song(service)
    lines = run("download", "job_1", "-o", "drafts/").stdout.splitlines()
    assert lines == [
        "drafts/Nobody - job_1 (top).wav",
        "drafts/Nobody - job_1 (take 2, top).wav",
    ]


def test_download_keeps_what_it_has_and_replaces_nothing_else(service, run, tmp_path):
    script_a_song(service)
    (tmp_path / "song-0.wav").write_bytes(SOUND)
    run("download", "job_1", "-o", "song.wav")
    fetched = [url for _, url, *_ in service.requests if "/audio?" in url]
    assert len(fetched) == 1
    (tmp_path / "song-1.wav").write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"song-1.wav exists"):
        run("download", "job_1", "-o", "song.wav")
    assert (tmp_path / "song-1.wav").read_bytes() == b"mine"
    run("download", "job_1", "-o", "song.wav", "--overwrite")
    assert (tmp_path / "song-1.wav").read_bytes() == SOUND


@pytest.mark.parametrize("command", [["download"], ["watch"]])
def test_a_format_that_is_unknown_is_refused_before_the_service_is_asked(service, run, command):
    with pytest.raises(UsageError, match=r"\.m4a cannot be written"):
        run(*command, "job_1", "-o", "z.m4a")
    assert service.requests == []


def test_a_folder_that_is_no_model_is_never_replaced(run, tmp_path, tiny_model_dir):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/song.wav").write_bytes(b"mine")
    source = str(tiny_model_dir)
    for command in (["models", "tiny"], ["models", "convert", source], ["train", "pack", source]):
        for overwrite in ([], ["--overwrite"]):
            with pytest.raises(UsageError, match="mine exists already and is no model"):
                run(*command, "mine", *overwrite)
    assert (tmp_path / "mine/song.wav").read_bytes() == b"mine"


def test_a_model_is_replaced_only_when_that_is_wanted(run, tmp_path, tiny_model_dir):
    (tmp_path / "made").mkdir()
    command = ["models", "convert", str(tiny_model_dir), "made"]
    run(*command)
    before = (tmp_path / "made/config.json").stat().st_ino
    with pytest.raises(UsageError, match=r"made exists already.*--overwrite"):
        run(*command)
    assert (tmp_path / "made/config.json").stat().st_ino == before
    run(*command, "--overwrite")
    assert (tmp_path / "made/config.json").stat().st_ino != before


def test_imported_codes_replace_nothing(run, tmp_path):
    torch.save({"zs": [torch.zeros(1, n, dtype=torch.int64) for n in (64, 16, 4)]}, "data.pth.tar")
    assert run("codes", "import", "data.pth.tar", "new/").stdout == "new/data.safetensors\n"
    assert run("codes", "import", "data.pth.tar", "new/").stdout == "new/data-2.safetensors\n"
    with pytest.raises(UsageError, match="exists already"):
        run("codes", "import", "data.pth.tar", "new/data.safetensors")
    with pytest.raises(UsageError, match=r"\.npz cannot be written"):
        run("codes", "import", "data.pth.tar", "codes.npz")


def test_codes_and_lyric_times_follow_the_same_rules(service, run, tmp_path):
    script_a_song(service)
    service.on("GET", "/jobs/job_1/codes", Answer(b"codes", 200, {"etag": '"c"'}))
    service.on("GET", "/jobs/job_1/alignment", Answer(b"[00:01.00]la\n"))
    with pytest.raises(UsageError, match=r"\.npz cannot"):
        run("codes", "download", "job_1", "-o", "c.npz")
    with pytest.raises(UsageError, match=r"\.srt cannot"):
        run("align", "job_1", "-o", "c.srt")
    with pytest.raises(UsageError, match="contradict"):
        run("align", "job_1", "-o", "c.lrc", "--format", "vtt")
    assert service.requests == []
    for arguments in (["codes", "download", "job_1", "-o", "new/"], ["align", "job_1", "-o", "a/"]):
        (path,) = run(*arguments).stdout.splitlines()
        assert path in ("new/job_1.safetensors", "a/job_1-0.json")
        (other,) = run(*arguments).stdout.splitlines()
        assert other in ("new/job_1-2.safetensors", "a/job_1-0-2.json")
        assert run(*arguments, "--overwrite").stdout.strip() == path
        with pytest.raises(UsageError, match="exists already"):
            run(*arguments[:-1], path)


def _json(value):
    import json

    return json.dumps(value).encode()


def _one_output():
    import hashlib

    from tests.fixtures.scripted_service import output

    return [output(SOUND, sha256=hashlib.sha256(SOUND).hexdigest())]
