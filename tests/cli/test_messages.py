"""Messages: options instead of fields, full disks, and commands that work as printed."""

import errno
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cli import program
from cli.commands.serve import _show_addresses
from cli.errors import CliError, UsageError, system_sentence
from cli.local.model_places import known_models
from cli.local.stack import StackSettings, free_port, require_free_port
from cli.main import _sentence, main
from cli.option_names import in_options, option_of_pointer
from cli.service.sentences import sentence_of
from jobs.api_keys import ApiKeyFile, Scope
from jobs.record.request import JobRequest
from jukebox_client import ServiceUnreachable
from jukebox_core.checkpoints.native import write_config
from jukebox_core.disk_errors import disk_reason
from jukebox_core.errors import AudioError, SongError
from jukebox_core.models.released import released_config
from tests.fixtures.scripted_service import problem, script_a_song

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("pointer", "option"),
    [
        *(("/num_samples", "--takes"), ("/duration_seconds", "--seconds"), ("/sample", "--take")),
        *(("/sampling/top/temperature", "--temperature"), ("/levels/0", "--stop-after")),
        *(("/prompt/seconds", "--prompt-seconds"), ("/prompt/asset_id", "--prompt")),
        *(("/artist_id/v2", "--artist-id"), ("/webhook_url", "--webhook"), ("/file", "FILE")),
        ("/nothing/known", "/nothing/known"),
    ],
)
def test_a_pointer_of_the_service_becomes_an_option(pointer, option):
    assert option_of_pointer(pointer) == option


NOT_TYPED = {"webhook_events"}


def test_every_field_that_a_command_sends_has_an_option():
    fields = set(JobRequest.model_fields)
    unnamed = {name for name in fields if option_of_pointer(f"/{name}") == f"/{name}"}
    assert unnamed <= NOT_TYPED


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("song_duration_seconds < duration_seconds=5", "--song-seconds < --seconds 5"),
        ("self.temperature=-1.0 must be above 0", "--temperature -1.0 must be above 0"),
        ("row=5, but the codes have 3 rows", "--take 5, but the codes have 3 rows"),
        ("the model has 3 levels", "the model has 3 levels"),
        ("`num_samples` is 17", "--takes is 17"),
    ],
)
def test_a_sentence_names_options_and_leaves_words_alone(sentence, said):
    assert in_options(sentence) == said


def test_a_refused_song_names_the_option(service, run):
    script_a_song(service)
    faults = [{"in": "body", "pointer": "/num_samples", "detail": "must be at most 16"}]
    service.on("POST", "/jobs", problem(422, "invalid_request", "no", faults))
    with pytest.raises(CliError, match="--takes: must be at most 16"):
        run("submit", "--takes", "17", "--no-wait")


def test_errors_of_the_library_name_the_option_too():
    assert _sentence(SongError("keep_sec=9 is too much", field="keep_sec")) == "--cut 9 is too much"
    assert _sentence(RuntimeError("a fault of this program")) is None
    assert "not enough memory" in str(_sentence(MemoryError()))
    import torch  # noqa: F401

    unmapped = RuntimeError("unable to mmap 9 bytes: Cannot allocate memory (12)\nException ...")
    assert str(_sentence(unmapped)).endswith("(12)")
    assert _sentence(RuntimeError("a fault of this program")) is None


def test_a_certificate_that_is_not_trusted_is_no_service_that_does_not_run():
    error = ServiceUnreachable("no service", base_url="https://localhost", was_sent=False)
    assert "jukebox serve" in sentence_of(error)
    error.__cause__ = httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed")
    assert "SSL_CERT_FILE=" in sentence_of(error)
    assert "jukebox serve" not in sentence_of(error)


def full_disk(number=errno.ENOSPC, path="x.wav"):
    return OSError(number, os.strerror(number), path)


def test_a_full_disk_is_named_with_the_file_and_through_other_errors():
    assert system_sentence(full_disk()) == "the disk is full (No space left on device): x.wav"
    assert "quota" in system_sentence(full_disk(errno.EDQUOT))
    assert system_sentence(full_disk(errno.ENOENT)) == "No such file or directory: x.wav"
    wrapped = AudioError("x.wav cannot be written")
    wrapped.__cause__ = full_disk()
    assert disk_reason(wrapped) == "the disk is full (No space left on device)"
    assert disk_reason(AudioError("another reason")) is None


def test_what_cannot_be_read_is_said_without_numbers_of_the_system(run):
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(CliError, match=rf"answers at {url} \(Connection refused\)\. Start one"):
        run("list", "--url", url)
    said = run("submit", "--lyrics", "@gone.txt", status=2).stderr
    assert "cannot read lyrics from 'gone.txt': No such file or directory\n" in said


def test_a_command_is_printed_as_it_can_be_typed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here = tmp_path / ".venv/bin/jukebox"
    here.parent.mkdir(parents=True)
    here.write_text("#!/bin/sh\n")
    here.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(here)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert program.command("serve") == ".venv/bin/jukebox serve"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert program.command("serve") == f"{here} serve"
    monkeypatch.setenv("PATH", str(here.parent))
    assert program.command("serve") == "jukebox serve"


def test_make_is_named_where_make_was_typed(monkeypatch, tmp_path):
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.chdir(ROOT)
    assert program.command("serve") == "make serve"
    assert program.serve_on(8001) == "make serve PORT=8001"
    assert program.command("list").endswith("jukebox list")
    monkeypatch.chdir(tmp_path)
    assert program.command("serve") == "jukebox serve"


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
def test_make_serve_takes_a_port(tmp_path):
    def recipe(*arguments, **variables):
        command = ["make", "--dry-run", "--directory", str(ROOT), *arguments]
        environment = {**os.environ, **variables}
        environment.pop("MAKEFLAGS", None)
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return next(line for line in done.stdout.splitlines() if "jukebox serve" in line).split()

    assert recipe("serve", "PORT=8001")[-2:] == ["--port", "8001"]
    assert recipe("serve", PORT="3000")[-1] == "serve"


def test_a_taken_port_is_answered_with_a_command_that_works(monkeypatch):
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(UsageError, match=r"`jukebox serve --port (\d+)`") as caught:
            require_free_port("127.0.0.1", port)
    other = int(str(caught.value).rstrip("`").rpartition(" ")[2])
    require_free_port("127.0.0.1", other)


def test_an_address_of_another_machine_is_no_question_of_the_port():
    with pytest.raises(UsageError, match="--host an address of this machine"):
        require_free_port("192.0.2.1", free_port())


def shown(settings, capsys):
    _show_addresses(settings, known_models(settings.models_dir))
    return capsys.readouterr().out


def test_serve_prints_a_request_with_names_that_the_model_knows(tmp_path, capsys):
    settings = StackSettings(data_dir=tmp_path, models_dir=tmp_path / "models")
    out = shown(settings, capsys)
    assert f"logs     {tmp_path / 'logs'}" in out
    words = shlex.split(out.partition("try      ")[2])
    song = json.loads(words[words.index("-d") + 1])
    assert song["model"] == "mini"
    artists = (ROOT / "jukebox_core/bundled/mini/labels").glob("*artist*")
    assert song["artist"] in next(artists).read_text(encoding="utf-8")
    assert song["genre"]
    assert "Authorization" not in out


def test_of_several_models_serve_shows_the_one_that_is_quick(tmp_path, capsys):
    for name in ("large", "larger"):
        (tmp_path / "models" / name).mkdir(parents=True)
        write_config(tmp_path / "models" / name, released_config("1b_lyrics"))
    out = shown(StackSettings(data_dir=tmp_path, models_dir=tmp_path / "models"), capsys)
    assert "large, larger, mini" in out
    assert '"model": "mini"' in out


def test_serve_with_keys_prints_a_request_with_a_key(tmp_path, capsys):
    ApiKeyFile(tmp_path).create("studio", [Scope.SUBMIT])
    out = shown(StackSettings(data_dir=tmp_path, models_dir=tmp_path / "models"), capsys)
    assert '-H "Authorization: Bearer $JUKEBOX_API_KEY"' in out
    assert "export JUKEBOX_API_KEY" in out


def test_a_terminal_without_the_letters_of_a_title_gets_others(tmp_path):
    code = "from cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "models", "list", "--models-dir", str(tmp_path / "é")],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failed_song_names_the_log_of_a_worker_on_this_machine(service, run, tmp_path):
    log = tmp_path / "jukebox-data/logs/worker.log"
    log.parent.mkdir(parents=True)
    log.touch()
    error = {"code": "internal_error", "message": "It broke.", "retryable": True}
    script_a_song(service, status="failed", error=error)
    assert "jukebox-data/logs/worker.log" in run("watch", "job_1", status=1).stderr


def test_a_full_disk_is_one_sentence(monkeypatch, capsys, tmp_path):
    def full(*_, **__):
        raise full_disk()

    monkeypatch.setattr("cli.commands.models.write_tiny", full)
    monkeypatch.setattr(sys, "argv", ["jukebox", "models", "tiny", str(tmp_path / "tiny")])
    with pytest.raises(SystemExit):
        main()
    assert "error: the disk is full (No space left on device)" in capsys.readouterr().err
