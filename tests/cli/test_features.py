"""`jukebox features` on the tiny model: the file, and what can be wrong with the wish for it."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cli.errors import UsageError
from cli.main import build_app
from jukebox_core.audio import read_audio, write_audio
from jukebox_core.checkpoints import load_directory
from jukebox_core.errors import AudioError, FeatureError
from jukebox_core.features import FeatureParams, extract_features

RATE_HZ = 16_000


@pytest.fixture
def sound(tmp_path):
    file = tmp_path / "sound.wav"
    generator = torch.Generator().manual_seed(0)
    write_audio(file, torch.randn(3 * RATE_HZ, generator=generator) / 5, RATE_HZ)
    return file


@pytest.fixture
def run(models_dir, sound):
    def run(*arguments):
        options = ["--model", "tiny", "--models-dir", str(models_dir), "--device", "cpu"]
        result = CliRunner().invoke(
            build_app(), ["features", *options, *arguments], catch_exceptions=True
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_one_vector_for_a_file_beside_it(run, sound, tiny_model_dir):
    result = run(str(sound), "--layer", "3")
    file = sound.with_suffix(".npy")
    assert result.stdout.strip() == str(file)
    assert "layer 3: 1 x" in result.stderr
    parts = load_directory(tiny_model_dir)
    wanted = extract_features(
        parts.vqvae,
        parts.priors[0],
        read_audio(sound, sample_rate_hz=RATE_HZ),
        FeatureParams(layer=3, pool="mean"),
    )
    np.testing.assert_array_equal(np.load(file), wanted.values)


def test_vectors_at_a_rate_of_a_part_of_the_file_in_a_file_of_any_name(run, sound, tmp_path):
    target = tmp_path / "new" / "features.of.it"
    run(
        *(str(sound), "--pool", "none", "--rate", "5"),
        *("--offset", "0.5", "--seconds", "2", "-o", str(target)),
    )
    values = np.load(target)
    assert values.shape[0] == 10
    assert values.dtype == np.float32
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--layer", "99"), FeatureError),
        (("--rate", "5"), FeatureError),
        (("--pool", "none", "--rate", "9999"), FeatureError),
        (("--offset", "99"), AudioError),
        (("--model", "nobody"), UsageError),
        (("--device", "toaster"), UsageError),
        (("-o", "/dev/null/x"), UsageError),
        (("-o", "/dev/null/x/"), OSError),
    ],
)
def test_what_cannot_be_done_is_told_and_leaves_no_file(run, sound, arguments, error):
    with pytest.raises(error):
        run(str(sound), *arguments)
    assert not sound.with_suffix(".npy").exists()
