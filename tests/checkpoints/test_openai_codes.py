"""Songs that the original saved: taken in as codes, and never as a program."""

import pickle

import pytest
import torch
from safetensors.torch import load_file

from jukebox_core.checkpoints.openai_codes import import_openai_codes, read_openai_codes
from jukebox_core.codes_file import ingest_codes
from jukebox_core.errors import CheckpointError
from jukebox_core.units import COARSE_TO_FINE


def codes(num_top_tokens=4, num_songs=2):
    """Finest first, as it saves them."""
    return [
        torch.arange(num_songs * num_top_tokens * n).view(num_songs, -1) % 48 for n in (16, 4, 1)
    ]


def saved(path, zs, **options):
    label = {"y": torch.zeros(2, 9), "info": [{"artist": "a", "lyrics": "", "full_tokens": [1]}]}
    settings = [{"temp": 0.99, "fp16": True, "chunk_size": 16}] * 3
    everything = {"zs": zs, "labels": [label] * 3, "sampling_kwargs": settings, "x": torch.rand(8)}
    torch.save(everything, path, **options)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_the_codes_of_a_song_come_top_first(tmp_path, zipped):
    """The original ran torch 1.4, whose files were no archives yet."""
    zs = codes()
    path = saved(tmp_path / "data.pth.tar", zs, _use_new_zipfile_serialization=zipped)
    found = read_openai_codes(path)
    assert list(found) == list(COARSE_TO_FINE)
    for stream, wanted in zip(found.values(), reversed(zs), strict=True):
        assert torch.equal(stream, wanted)


def test_the_imported_file_is_one_that_the_service_takes(tmp_path):
    path = saved(tmp_path / "data.pth.tar", codes())
    assert import_openai_codes(path, tmp_path / "new" / "song.safetensors") == {
        "top": (2, 4),
        "middle": (2, 16),
        "bottom": (2, 64),
    }
    facts = ingest_codes(tmp_path / "new" / "song.safetensors", tmp_path / "taken")
    assert facts.num_tokens == {"top": 4, "middle": 16, "bottom": 64}
    assert load_file(tmp_path / "taken")["top"].dtype == torch.int32


def test_a_song_that_stopped_after_the_top_is_a_draft(tmp_path):
    zs = [torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.int64), codes()[2]]
    assert [level.label for level in read_openai_codes(saved(tmp_path / "d", zs))] == ["top"]


def test_a_bare_list_of_levels_is_taken_too(tmp_path):
    torch.save(codes(), tmp_path / "song.z")
    assert len(read_openai_codes(tmp_path / "song.z")) == 3


class Program:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


@pytest.mark.parametrize("plain", [True, False])
def test_code_in_the_file_is_refused_and_not_run(tmp_path, plain):
    path, target = tmp_path / "data.pth.tar", tmp_path / "ran"
    if plain:
        path.write_bytes(pickle.dumps({"zs": Program(target)}, protocol=2))
    else:
        saved(path, [*codes()[:2], Program(target)])
    with pytest.raises(CheckpointError, match="was not read"):
        read_openai_codes(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("zs", "sentence"),
    [
        (codes()[:2], "a list of three levels"),
        ([*codes()[:2], torch.zeros(2, 0, dtype=torch.int64)], "no codes of the top"),
        ([*codes()[:2], torch.rand(2, 4)], "float32"),
        ([*codes()[:2], codes()[2] - 9], "from 0 on"),
        ([*codes()[:2], codes()[2][0]], r"int64 \[4\]"),
        ([*codes()[:2], codes(num_songs=3)[2]], "different numbers of songs"),
    ],
)
def test_what_is_no_song_is_refused_with_what_was_found(tmp_path, zs, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        read_openai_codes(saved(tmp_path / "data.pth.tar", zs))


def test_a_damaged_file_is_refused(tmp_path):
    path = saved(tmp_path / "data.pth.tar", codes())
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(CheckpointError):
        read_openai_codes(path)
    with pytest.raises(OSError, match="absent"):
        read_openai_codes(tmp_path / "absent")
