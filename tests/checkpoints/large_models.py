"""Random models of gigabytes, written tensor by tensor, and a measure of what loading them takes.

`python -m tests.checkpoints.large_models HOW DIRECTORY` loads the model in a process of its own and
prints the memory that this took at most, in bytes, as it is counted by the kernel.
"""

import json
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from jukebox_core.checkpoints import load_directory, load_openai_prior, load_prior_of
from jukebox_core.checkpoints.convert import convert, open_directory
from jukebox_core.checkpoints.names import translator
from jukebox_core.checkpoints.native import VQVAE_FILE, prior_file
from jukebox_core.checkpoints.openai import PRIOR_NAMES
from jukebox_core.checkpoints.tensor_files import open_tensors
from jukebox_core.config import JukeboxConfig, Weights
from jukebox_core.models.catalog import CONFIG_FILE, FORMAT, FORMAT_VERSION
from jukebox_core.prior import JukeboxPrior
from jukebox_core.units import COARSE_TO_FINE, Level
from jukebox_core.vqvae import JukeboxVQVAE

OPENAI_FILE = "prior_level_2.pth.tar"

_CODEC = {
    "downs_t": (3, 2, 2),
    "strides_t": (2, 2, 2),
    "emb_width": 16,
    "l_bins": 64,
    "width": 8,
    "depth": 2,
    "m_conv": 1.0,
    "dilation_growth_rate": 3,
    "hvqvae_multipliers": (2, 1, 1),
    "l_mu": 0.99,
    "commit": 0.02,
    "spectral": 0.0,
    "multispectral": 1.0,
    "levels": 3,
}
_PRIOR = {
    "labels": True,
    "y_bins": (12, 41),
    "t_bins": 16,
    "max_bow_genre_size": 5,
    "min_duration": 1.0,
    "max_duration": 600.0,
    "n_ctx": 512,
    "prior_width": 2048,
    "heads": 2,
    "attn_order": 2,
    "blocks": 16,
    "init_scale": 0.4,
    "cond_width": 64,
    "cond_depth": 4,
    "cond_dilation_growth_rate": 3,
    "cond_dilation_cycle": 2,
}
"""In the shapes of the released ones: most of the bytes are in projections of a few MB each."""


def large_config() -> JukeboxConfig:
    """A top prior of 1.2 GB in float32, two upsamplers of a third of that."""
    return JukeboxConfig.from_openai(
        _CODEC,
        [
            {**_PRIOR, "level": 2, "prior_depth": 24},
            {**_PRIOR, "level": 1, "prior_depth": 8, "cond_res_scale": True},
            {**_PRIOR, "level": 0, "prior_depth": 8, "cond_res_scale": False},
        ],
        name="large",
    )


def prior_bytes(level: Level, dtype: torch.dtype = torch.float32) -> int:
    """Size of the weights of a prior, its stacks in `dtype`."""
    with torch.device("meta"):
        prior = JukeboxPrior(large_config().prior(level)).set_compute_dtype(dtype)
    return sum(tensor.nbytes for tensor in prior.state_dict().values())


def write_large(directory: Path) -> None:
    """A model directory in our own format."""
    config = large_config()
    directory.mkdir()
    values = {"format": FORMAT, "format_version": FORMAT_VERSION, "config": config.to_dict()}
    (directory / CONFIG_FILE).write_text(json.dumps(values), encoding="utf-8")
    with torch.device("meta"):
        _write_random(directory / VQVAE_FILE, JukeboxVQVAE(config.vqvae))
        for level in COARSE_TO_FINE:
            _write_random(directory / prior_file(level), JukeboxPrior(config.prior(level)))


def _write_random(file: Path, module: torch.nn.Module) -> None:
    """Safetensors with random float32 numbers in the shapes of `module`, never held at once."""
    random = np.random.default_rng(0).standard_normal(2**23, dtype=np.float32) / 50
    header, end = {}, 0
    for name, tensor in module.state_dict().items():
        size = tensor.numel() * 4
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for tensor in module.state_dict().values():
            for start in range(0, tensor.numel(), len(random)):
                random[:: 2**12] += 1e-3
                stream.write(memoryview(random[: tensor.numel() - start]))


def _use(prior: JukeboxPrior) -> None:
    """Look at every number, so that mapped files are really read."""
    with torch.no_grad():
        for tensor in prior.parameters():
            tensor.sum().item()


def write_openai(directory: Path, *, as_zip: bool) -> None:
    """The top prior once more as the original's checkpoint, which is no archive, or as a newer one.

    Needs as much memory as the prior.
    """
    their_name = translator([(ours, theirs) for theirs, ours in PRIOR_NAMES])
    tensors = {}
    for name, stored in open_tensors(directory / prior_file(Level.TOP)).items():
        tensors[their_name(name)] = stored.read()
    torch.save(
        {"model": tensors, "step": 1, "hps": {}},
        directory / OPENAI_FILE,
        _use_new_zipfile_serialization=as_zip,
    )


def _peak_bytes() -> int:
    """Of this program alone: `ru_maxrss` begins with the peak of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _load(how: str, directory: Path) -> None:
    match how:
        case "mapped":
            load_directory(directory)
        case "used" | "half":
            dtype = torch.float16 if how == "half" else None
            for level in COARSE_TO_FINE:
                _use(load_prior_of(directory, level, dtype=dtype))
        case "openai":
            config = large_config().prior(Level.TOP)
            _use(load_openai_prior(directory / OPENAI_FILE, config, dtype=torch.float16))
        case "int8":
            source = open_directory(directory)
            with tempfile.TemporaryDirectory(dir=directory.parent) as folder:
                copy = Path(folder) / "int8"
                convert(source, copy, described_as="large", weights=Weights.INT8)
        case "write_openai":
            write_openai(directory, as_zip=True)
        case "write_old_openai":
            write_openai(directory, as_zip=False)
        case _:
            raise ValueError(how)


if __name__ == "__main__":
    # A first small load: what the libraries take for themselves is no part of a model.
    with torch.device("meta"):
        JukeboxPrior(large_config().prior(Level.BOTTOM))
    before = _peak_bytes()
    _load(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(f"{_peak_bytes() - before}\n")
