"""`jukebox features`: what a model hears in sound files, as numbers for other work."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import options
from cli.errors import CliError, UsageError
from cli.feature_files import FeatureFolder, feature_file, suffix_for
from cli.local_model import Device, ModelName, device_and_dtype, model_directory
from cli.option_groups import grouped
from cli.outputs import OutputPath, Overwrite, output_path
from cli.sound_files import SoundFiles, find_sound_files
from cli.terminal.console import escape, notes, results
from cli.terminal.file_progress import FileProgress
from jukebox_core.errors import AudioError
from jukebox_core.models.catalog import read_config
from jukebox_core.units import Level

if TYPE_CHECKING:
    from jukebox_core.features import FeatureParams
    from jukebox_core.prior import JukeboxPrior
    from jukebox_core.vqvae import JukeboxVQVAE

DEFAULT_FOLDER = "features"


@grouped
def features(
    *,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Audio files, folders, .txt files with one path per line, or glob patterns "
            "such as 'music/**/*.mp3'.",
        ),
    ],
    model: ModelName = None,
    layer: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            help="Number of layers of the top prior to run (default: half). Repeat for several "
            "layers; they are computed in one pass and written as .npz.",
        ),
    ] = None,
    pool: Annotated[
        Literal["mean", "none"],
        typer.Option(help="mean: one vector per file. none: one per token, or --rate per second."),
    ] = "mean",
    rate: Annotated[
        float | None, typer.Option(help="Vectors per second, with --pool none.")
    ] = None,
    resampling: Annotated[
        Literal["mean", "fft"],
        typer.Option(help="Resampling to --rate: mean of the tokens, or fft as in jukemirlib."),
    ] = "mean",
    output: Annotated[
        OutputPath | None,
        typer.Option(
            "-o",
            "--output",
            parser=output_path,
            metavar="PATH",
            help="Output file (default: FILE with the suffix .npy); with several files, an output "
            f"folder (default: `{DEFAULT_FOLDER}`).",
        ),
    ] = None,
    overwrite: Overwrite = False,
    offset: Annotated[
        float, typer.Option(min=0.0, help="Start position in FILE, in seconds.")
    ] = 0.0,
    seconds: Annotated[
        float | None, typer.Option(min=0.01, help="Seconds to read (default: to the end).")
    ] = None,
    hop_fraction: Annotated[
        float, typer.Option(help="Hop between windows, as a fraction of a window.")
    ] = 0.5,
    device: Device = "auto",
    places: options.Places,
) -> None:
    """Extract features from audio files with the top prior.

    Features are the activations of a layer: float32 [vectors, width], as .npy. With several files,
    the output folder mirrors their paths. Finished files are skipped, so the same command resumes
    after an interruption. Unreadable files are reported and the rest are processed; the exit
    status is then 1.
    """
    directory = model_directory(model, places.models_folder)
    sounds = find_sound_files(files)
    # Imported here: torch takes seconds to load, and most commands do not need it.
    from jukebox_core.features import FeatureParams, check_features

    config = read_config(directory).prior(Level.TOP)
    layers = tuple(dict.fromkeys(layer or [max(config.transformer.num_layers // 2, 1)]))
    params = FeatureParams(
        layer=layers[0],
        pool=pool,
        rate_hz=rate,
        resampling=resampling,
        hop_fraction=hop_fraction,
    )
    wish = _Wish(directory, params, layers, offset_sec=offset, duration_sec=seconds)
    for params_of_layer in wish.params_of_layers():
        check_features(config, params_of_layer)
    extractor = _Extractor(wish, device)
    if sounds.are_many or (output is not None and output.is_folder):
        folder = Path(DEFAULT_FOLDER) if output is None else output.path
        _fill_folder(extractor, sounds, folder, overwrite=overwrite)
        return
    source = sounds.paths[0]
    target = output or OutputPath(source.with_suffix(suffix_for(layers)), is_folder=False)
    target.check_writable([target.path], overwrite=overwrite)
    _write_one(extractor, source, target.path)


def _write_one(extractor: "_Extractor", source: Path, target: Path) -> None:
    facts = extractor.write(source, target)
    rate_hz = facts["rate_hz"]
    pace = "the mean of all tokens" if rate_hz is None else f"{rate_hz:g} a second"
    layers = extractor.wish.layers
    numbers = ", ".join(map(str, layers))
    word = "layer" if len(layers) == 1 else "layers"
    notes().print(f"{word} {numbers}: {facts['vectors']} x {facts['width']}, {pace}")
    results().print(escape(str(target)))


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is computed of each file."""

    model: Path
    params: "FeatureParams"
    layers: tuple[int, ...]
    offset_sec: float
    duration_sec: float | None

    def params_of_layers(self) -> "list[FeatureParams]":
        return [replace(self.params, layer=layer) for layer in self.layers]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: two files that were made with the same ones can stand side by side."""
        weights = sum(file.stat().st_size for file in self.model.glob("*.safetensors"))
        return {
            "model": self.model.name,
            "model_bytes": weights,
            **asdict(self.params),
            "layer": list(self.layers),
            "offset_sec": self.offset_sec,
            "duration_sec": self.duration_sec,
        }


class _Extractor:
    """Computes features of one file after the other; the model is loaded once, for the first."""

    def __init__(self, wish: _Wish, device: str) -> None:
        self.wish = wish
        self._device, self._dtype = device_and_dtype(device)
        self._sample_rate_hz = read_config(wish.model).vqvae.sample_rate_hz
        self._parts: tuple[JukeboxVQVAE, JukeboxPrior] | None = None

    def write(
        self,
        source: Path,
        target: Path,
        *,
        on_fraction: Callable[[float], None] = lambda fraction: None,
        on_finished: Callable[[int, Mapping[str, Any]], None] = lambda num_bytes, facts: None,
    ) -> dict[str, Any]:
        """Write the features of `source` into `target`; what there is to know about them.

        `on_finished` is called with their size and the same facts before `target` appears.
        """
        from jukebox_core.audio import map_audio
        from jukebox_core.features import extract_layers

        wish = self.wish
        facts: dict[str, Any] = {}
        sound = map_audio(
            source,
            sample_rate_hz=self._sample_rate_hz,
            offset_sec=wish.offset_sec,
            duration_sec=wish.duration_sec,
        )
        # The sound first: a wrong path should not cost the loading of a large model.
        with sound as audio:
            vqvae, prior = self._loaded()
            with feature_file(
                target, wish.layers, lambda num_bytes: on_finished(num_bytes, facts)
            ) as file:
                found = extract_layers(
                    vqvae,
                    prior,
                    audio,
                    wish.params,
                    wish.layers,
                    allocate=file.allocate,
                    on_tokens=lambda done, total: on_fraction(done / total),
                )
                one = found[wish.layers[0]]
                facts["seconds"] = round(len(audio) / self._sample_rate_hz, 3)
                facts["vectors"], facts["width"] = one.values.shape
                facts["rate_hz"] = one.rate_hz
        return facts

    def _loaded(self) -> "tuple[JukeboxVQVAE, JukeboxPrior]":
        if self._parts is None:
            from jukebox_core.checkpoints import load_prior_of, load_vqvae_of

            model = self.wish.model
            notes().print(escape(f"loading the top prior of {model} on {self._device}"))
            prior = load_prior_of(model, Level.TOP, device=self._device, dtype=self._dtype)
            self._parts = load_vqvae_of(model, device=self._device), prior
        return self._parts


def _fill_folder(
    extractor: _Extractor, sounds: SoundFiles, folder: Path, *, overwrite: bool
) -> None:
    is_file_name = folder.suffix in (".npy", ".npz") and not folder.is_dir()
    if is_file_name or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"-o {folder} is a file, and features of several files need a folder")
    wish = extractor.wish
    listed = FeatureFolder(folder, wish.to_dict())
    suffix = suffix_for(wish.layers)
    names = {path: _with_added(sounds.name_of(path), suffix) for path in sounds.paths}
    if not overwrite:
        for path, name in names.items():
            listed.check(name, path)
    wanted = [path for path in sounds.paths if overwrite or not listed.is_done(names[path], path)]
    num_there = len(sounds.paths) - len(wanted)
    if num_there:
        notes().print(f"{num_there:,} of {len(sounds.paths):,} files are done already")
    failed = 0
    with FileProgress(notes(), len(wanted)).shown() as progress:
        for path in wanted:
            try:
                _write_into(listed, names[path], path, extractor, progress)
            except _Unreadable as error:
                failed += 1
                progress.say(f"error: {error}")
            progress.one_more()
    notes().print(f"{len(wanted) - failed:,} files written")
    results().print(escape(f"{folder}{os.sep}"))
    if failed:
        raise CliError(f"{failed:,} of {len(sounds.paths):,} files could not be read: see above")


class _Unreadable(Exception):
    """One sound file among many is at fault."""


def _write_into(
    listed: FeatureFolder, name: Path, path: Path, extractor: _Extractor, progress: FileProgress
) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise _Unreadable(f"{path}: {error.strerror or error}") from error
    try:
        extractor.write(
            path,
            listed.folder / name,
            on_fraction=progress.at,
            on_finished=lambda num_bytes, facts: listed.add(name, path, num_bytes, facts),
        )
    except AudioError as error:
        sentence = str(error)
        raise _Unreadable(sentence if str(path) in sentence else f"{path}: {sentence}") from error


def _with_added(name: Path, suffix: str) -> Path:
    return name.with_name(name.name + suffix)
