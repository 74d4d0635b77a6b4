"""`jukebox generate` in every mode, on the tiny model; and `jukebox codes import`."""

import pytest
import soundfile
import torch
from safetensors.torch import load_file

from cli.errors import UsageError
from cli.local_song import Beginning
from jukebox_core.errors import CodecChanged
from jukebox_core.tiny import write_tiny

SONG = ("--genre", "drone", "--seed", "3", "--device", "cpu")


@pytest.fixture
def generate(run, tiny_model_dir):
    return lambda *arguments: run("generate", "--model", str(tiny_model_dir), *SONG, *arguments)


def lengths(path):
    return {level: stream.shape[1] for level, stream in load_file(path).items()}


def test_a_draft_is_continued_cut_and_upsampled_without_a_service(generate, tmp_path):
    draft = ("--stop-after", "top", "--seconds", "4.8", "--takes", "2")
    generate(*draft, "--save-codes", "draft.safetensors")
    more = (
        "--continue",
        "draft.safetensors",
        "--sample",
        "1",
        "--cut",
        "4.48",
        "--seconds",
        "0.32",
    )
    generate(*more, "--stop-after", "top", "--save-codes", "more.safetensors")
    generate(
        "--upsample", "more.safetensors", "--save-codes", "song.safetensors", "-o", "whole.wav"
    )
    assert lengths("draft.safetensors") == {"top": 300}
    assert lengths("song.safetensors") == {"top": 300, "middle": 1200, "bottom": 4800}
    kept = load_file("draft.safetensors")["top"][1:, :280]
    assert torch.equal(load_file("song.safetensors")["top"][:, :280], kept)
    assert soundfile.info("whole.wav").duration == pytest.approx(4.8)


def test_codes_of_another_codec_are_refused(generate, run, tmp_path):
    generate("--stop-after", "top", "--seconds", "1", "--save-codes", "draft.safetensors")
    other = write_tiny(tmp_path / "models" / "tiny", seed=5)
    for option in ("--continue", "--upsample"):
        song = ("--model", str(other), *SONG, option, "draft.safetensors")
        error = run("generate", *song, status=1).exception
        assert isinstance(error, CodecChanged)
        assert "the top level were made with" in str(error)
        assert "--prompt" in str(error)


def test_a_sound_is_gone_on_with_and_kept(generate, tmp_path):
    generate("--stop-after", "top", "--seconds", "4.8", "-o", "first.wav")
    primed = ("--prompt", "first.wav", "--prompt-start", "1", "--prompt-seconds", "1.6")
    primed += ("--stop-after", "top", "--seconds", "4.8")
    generate(*primed, "--save-codes", "a.safetensors")
    generate(*primed, "--seed", "9", "--save-codes", "b.safetensors")
    one, other = (load_file(name)["top"] for name in ("a.safetensors", "b.safetensors"))
    assert one.shape == (1, 300)
    assert torch.equal(one[:, :100], other[:, :100])
    assert not torch.equal(one[:, 100:], other[:, 100:])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "a", "continue_codes": "b"}, "one of"),
        ({"prompt_seconds": 2.0}, "there is none"),
        ({"cut": 2.0}, "--continue"),
        ({"sample": 1, "prompt": "a"}, "--sample"),
        ({"upsample_codes": "a", "seconds": 5.0}, "as long as"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        Beginning(**options)


def test_codes_that_are_not_there_are_one_sentence(generate):
    with pytest.raises(UsageError, match="no file of codes"):
        generate("--upsample", "nowhere.safetensors")


def test_codes_of_the_original_become_a_file_for_the_service(run, tmp_path):
    zs = [torch.zeros(1, n, dtype=torch.int64) for n in (64, 16, 4)]
    torch.save({"zs": zs}, tmp_path / "data.pth.tar")
    result = run("codes", "import", "data.pth.tar", "song.safetensors")
    assert result.stdout == "song.safetensors\n"
    assert "middle: 1 x 16" in result.stderr
    assert lengths("song.safetensors") == {"top": 4, "middle": 16, "bottom": 64}


def test_the_step_and_the_speed_are_chosen_and_told(generate, tmp_path):
    told = generate("--seconds", "4", "--backend", "torch", "-o", "plain.wav").stderr
    assert "seed 3, torch backend, full weights" in told
    generate("--seconds", "4", "--speed", "parallel", "--native-step", "off", "-o", "quick.wav")
    plain, quick = (soundfile.read(tmp_path / name)[0] for name in ("plain.wav", "quick.wav"))
    assert plain.shape == quick.shape
    assert (plain != quick).any()


def test_int8_weights_are_chosen_by_option_or_environment_and_told(generate, monkeypatch, tmp_path):
    generate("--seconds", "1", "-o", "full.wav")
    told = generate("--seconds", "1", "--weights", "int8", "-o", "option.wav").stderr
    assert "int8 weights" in told
    monkeypatch.setenv("JUKEBOX_WEIGHTS", "int8")
    generate("--seconds", "1", "-o", "variable.wav")
    full, option, variable = (
        soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("full", "option", "variable")
    )
    assert (option == variable).all()
    assert (option != full).any()


def test_without_a_gpu_a_large_model_has_int8_weights_by_itself(generate, monkeypatch):
    monkeypatch.setenv("JUKEBOX_WEIGHTS", "auto")
    assert "full weights" in generate("--seconds", "1", "-o", "small.wav").stderr
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 1)
    assert "int8 weights" in generate("--seconds", "1", "-o", "large.wav").stderr
    monkeypatch.setenv("JUKEBOX_WEIGHTS", "full")
    assert "full weights" in generate("--seconds", "1", "-o", "full.wav").stderr


def test_a_model_that_does_not_fit_is_refused_before_it_is_loaded(generate, monkeypatch, tmp_path):
    monkeypatch.setattr("jukebox_core.models.device_memory.free_host_bytes", lambda: 1_000_000)
    with pytest.raises(UsageError, match=r"tiny with full weights is too large here: it takes at"):
        generate("--seconds", "1", "-o", "song.wav")
    assert not (tmp_path / "song.wav").exists()
