"""How many tokens per second does a prior sample, beside transformers and the floor of the machine?

`python -m bench.sample --help`; see `bench/README.md`.
"""

import argparse
import importlib
import importlib.metadata
import itertools
import logging
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from bench.machine import (
    Clock,
    floor_sec,
    machine_limits,
    print_table,
    step_work,
    tell,
    wait_for,
)
from bench.priors import (
    INT8,
    PRECISIONS,
    PRIORS,
    compute_dtype,
    fill,
    in_precision,
    random_prior,
    released_prior,
    small_prior,
)
from jukebox_core import JukeboxModel
from jukebox_core.backends.choose import BACKENDS, Target, reason_against
from jukebox_core.backends.graphs.cuda_graphs import capturer_maker
from jukebox_core.backends.graphs.graph_plan import GraphWish
from jukebox_core.config import JukeboxPriorConfig, TransformerConfig
from jukebox_core.engine import Engine
from jukebox_core.engine import Sequence as EngineSequence
from jukebox_core.prior import JukeboxPrior
from jukebox_core.sampling.noise import CounterNoise
from jukebox_core.song import SamplingParams
from jukebox_core.units import COARSE_TO_FINE

_FIRST_TURNS = 8
"""In so many turns at most everything was done once: buffers made, graphs captured."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and the same as JSON in the last line."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    clock = time.thread_time if options.clock == "thread" else time.perf_counter
    rows = [
        {**row, "precision": precision}
        for precision in options.precision or ["fp16" if device.type == "cuda" else "fp32"]
        for name, prior in _priors(options, precision, device)
        for row in _measure_prior(options, name, prior, device, clock)
    ]
    print_table(rows)
    limits = machine_limits(device, clock=clock)
    tell(limits | {"transformers": importlib.metadata.version("transformers"), "rows": rows})


def _priors(
    options: argparse.Namespace, precision: str, device: torch.device
) -> Iterator[tuple[str, JukeboxPrior]]:
    """One after the other, so that only one has to fit."""
    if options.model is not None:
        model = JukeboxModel.from_pretrained(options.model, device=device, dtype=torch.float32)
        for level in COARSE_TO_FINE:
            yield level.label, in_precision(model.prior(level), precision)
        return
    for name in options.prior:
        for width in [None] if options.full else options.width:
            config = released_prior(name) if width is None else small_prior(name, width)
            yield name, random_prior(config, device, precision)


def _measure_prior(
    options: argparse.Namespace, name: str, prior: JukeboxPrior, device: torch.device, clock: Clock
) -> Iterator[dict[str, Any]]:
    """A row for each batch and way; all of a batch stand beside the same windows of theirs."""
    theirs = None
    if options.model is None and not options.alone:
        theirs = their_prior(name, prior.config, device, options.their_precision)
    num_tokens = options.tokens or prior.config.context_tokens
    for num_rows in options.batch:
        ways = [
            way
            for way in ways_on(prior, device)
            if options.backend is None or way.backend in options.backend
        ]
        runs: dict[Way, list[EngineRun]] = {way: [] for way in ways}
        their_windows: list[list[float]] = []
        for _ in range(options.repeats):
            for way, done in runs.items():
                done.append(engine_run(prior, num_rows, num_tokens, way=way, clock=clock))
            if theirs is not None:
                times = their_step_times(theirs, prior.config, num_rows, num_tokens, clock)
                their_windows.append(times)
        for way, done in runs.items():
            row = summary(name, prior, num_rows, way, done, clock)
            yield row | _beside_theirs(num_rows, [run.step_times for run in done], their_windows)


def _beside_theirs(
    num_rows: int, ours: list[list[float]], theirs: list[list[float]]
) -> dict[str, Any]:
    """The median of a window is what a step costs when no neighbor takes the core away."""
    if not theirs:
        return {}
    medians = [statistics.median(times) for times in theirs]
    ratios = [their / statistics.median(our) for their, our in zip(medians, ours, strict=True)]
    their_sec = statistics.median(medians)
    return {
        "transformers_tokens_per_sec": round(num_rows / their_sec, 1),
        "transformers_step_ms": round(1e3 * their_sec, 3),
        "transformers_last_over_first_tenth": drift(theirs),
        "times_transformers": round(statistics.median(ratios), 2),
    }


# ---- what a window is told ----


def label_rows(config: JukeboxPriorConfig, num_rows: int) -> Tensor:
    """Label vectors int64 [num_rows, W] of the first window of three minutes of music."""
    num_lyrics = 0 if config.lyrics is None else config.lyrics.num_tokens
    lyrics = torch.randint(1, 79, (num_rows, num_lyrics), generator=torch.manual_seed(3))
    max_genres = config.labels.max_genres if config.labels is not None else 1
    fixed = [180 * config.sample_rate_hz, 0, config.context_samples, 2, 3, *[-1] * (max_genres - 1)]
    return torch.cat((torch.tensor(fixed).expand(num_rows, -1), lyrics), dim=1)


def upper_code_rows(config: JukeboxPriorConfig, num_rows: int) -> Tensor | None:
    """Codes of the level above, int64 [num_rows, upper_context_tokens]; None at the top."""
    size = (num_rows, config.upper_context_tokens)
    codes = torch.randint(0, config.num_codes, size, generator=torch.manual_seed(5))
    return codes if size[1] else None


# ---- ours: the engine ----


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A backend, and whether its steps are captured once and replayed."""

    backend: str
    is_captured: bool = False

    @property
    def name(self) -> str:
        """`torch`, `torch graph` ..."""
        return self.backend + " graph" * self.is_captured


def ways_on(prior: JukeboxPrior, device: torch.device) -> list[Way]:
    """Plain torch first; then the other backends that can be had, on CUDA captured ones."""
    target = Target(device_type=device.type, is_float32=prior.compute_dtype == torch.float32)
    able = [name for name in reversed(BACKENDS) if reason_against(name, target) is None]
    if device.type == "cuda":
        return [Way(backend="torch"), *(Way(backend=name, is_captured=True) for name in able)]
    return [Way(backend=name) for name in able]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """One window of some rows: turns of all rows together, `(tokens of each, seconds)`.

    begin_sec   of each row that joined, one after the other
    peak_bytes  the most memory in use, on a GPU
    num_graphs  captured steps
    warnings    of the engine: it went on without a backend, without graphs, or in fewer rows
    """

    begin_sec: list[float]
    turns: list[tuple[int, float]]
    peak_bytes: int | None = None
    num_graphs: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def step_times(self) -> list[float]:
        """Seconds of every token; a turn that sampled several counts for each of them."""
        return [seconds / count for count, seconds in self.turns for _ in range(count)]

    @property
    def warm_up_sec(self) -> float:
        """What the first turns took beyond what their tokens take later: captures most of all."""
        usual = statistics.median(self.step_times)
        return sum(max(sec - count * usual, 0.0) for count, sec in self.turns[:_FIRST_TURNS])


@torch.inference_mode()
def engine_run(
    prior: JukeboxPrior,
    num_rows: int,
    num_tokens: int,
    *,
    way: Way,
    clock: Clock = time.perf_counter,
) -> EngineRun:
    """Sample `num_tokens` of a window in every row, through the engine that workers have.

    A turn of a single token that ends a window is left out: it also takes the codes to the host.
    On CUDA turns are timed by the device, which nobody waits for between them.

    Raises torch.OutOfMemoryError if the rows do not fit, or what else stopped one of them.
    """
    device, level = prior.position_embedding.device, prior.config.level
    maker = capturer_maker(device, GraphWish.AUTO, weights_stay=True) if way.is_captured else None
    engine = Engine({level: prior}, max_rows=num_rows, device=device, make_capturer=maker)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    # Rows begin one after the other, and those that have begun go on meanwhile.
    num_new = min(num_tokens + num_rows - 1, prior.config.context_tokens)
    for sequence in _sequences(prior, num_rows, num_new, way.backend):
        engine.submit(sequence)
    last, begun, counts = str(num_rows - 1), [_mark(device, clock)], list[int]()
    with _warnings_of_engine() as warnings:
        for _ in range(num_rows):
            _step(engine)
            begun.append(_mark(device, clock))
        if not engine.progress(last):
            raise torch.OutOfMemoryError(f"{num_rows} rows do not fit")
        marks, is_over = [begun[-1]], False
        while engine.has_work and not is_over:
            before = engine.progress(last)
            ended = _step(engine)
            marks.append(_mark(device, clock))
            is_over = bool(ended)
            counts.append((num_new if last in ended else engine.progress(last)) - before)
    wait_for(device)
    turns = list(zip(counts, _seconds_between(marks), strict=True))
    graphs = engine.graphs(level)
    return EngineRun(
        begin_sec=_seconds_between(begun),
        turns=turns[:-1] if len(turns) > 1 and turns[-1][0] == 1 else turns,
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        num_graphs=0 if graphs is None else graphs.num_captured,
        warnings=tuple(warnings),
    )


def _step(engine: Engine) -> set[str]:
    """One turn; the ids that ended in it."""
    updates = engine.step()
    for error in [update.error for update in updates if update.error is not None]:
        raise error
    return {update.id for update in updates}


@contextmanager
def _warnings_of_engine() -> Iterator[list[str]]:
    """What it warns of meanwhile: the figures are not what they are called then."""
    logger, messages = logging.getLogger("jukebox_core"), list[str]()
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


def _sequences(
    prior: JukeboxPrior, num_rows: int, num_new: int, backend: str
) -> Iterator[EngineSequence]:
    labels, upper = label_rows(prior.config, num_rows), upper_code_rows(prior.config, num_rows)
    for row in range(num_rows):
        yield EngineSequence(
            id=str(row),
            level=prior.config.level,
            labels=tuple(labels[row].tolist()),
            prefix_codes=np.zeros(0, dtype=np.int64),
            upper_codes=None if upper is None else upper[row].numpy(),
            start_token=0,
            num_new=num_new,
            sample=row,
            params=SamplingParams(temperature=0.99),
            noise=CounterNoise(0),
            backend=backend,
        )


def _mark(device: torch.device, clock: Clock) -> Any:  # noqa: ANN401
    """A moment: of the clock, or in the line of work of a GPU."""
    if device.type != "cuda":
        return clock()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event


def _seconds_between(marks: Sequence[Any]) -> list[float]:
    return [
        later - earlier if isinstance(later, float) else earlier.elapsed_time(later) / 1e3
        for earlier, later in itertools.pairwise(marks)
    ]


def summary(
    name: str,
    prior: JukeboxPrior,
    num_rows: int,
    way: Way,
    runs: Sequence[EngineRun],
    clock: Clock = time.perf_counter,
) -> dict[str, Any]:
    """What the steps of some windows took, beside their floor, as one row of a table."""
    windows = [run.step_times for run in runs]
    step_sec = statistics.median(statistics.median(times) for times in windows)
    work = step_work(prior, num_rows)
    floor = floor_sec(work, prior.position_embedding.device, clock)
    peaks = [run.peak_bytes for run in runs if run.peak_bytes is not None]
    return {
        "prior": name,
        "width": prior.config.transformer.width,
        "layers": prior.config.transformer.num_layers,
        "batch": num_rows,
        "step": way.name,
        "tokens_per_sec": round(num_rows / step_sec, 1),
        "step_ms": round(1e3 * step_sec, 3),
        "floor_ms": round(1e3 * floor, 3),
        "floor_share": float(f"{floor / step_sec:.3g}"),
        "weight_mb": round(work.weight_bytes / 1e6, 1),
        "gflop_per_sec": round(work.flop / step_sec / 1e9, 1),
        "last_over_first_tenth": drift(windows),
        "begin_ms": round(1e3 * statistics.median(runs[0].begin_sec), 2),
        "warm_up_seconds": round(runs[0].warm_up_sec, 4),
        "peak_mb": round(max(peaks) / 1e6, 1) if peaks else None,
        "graphs": runs[0].num_graphs,
        "warnings": "; ".join(dict.fromkeys(each for run in runs for each in run.warnings)),
    }


def drift(windows: Iterable[list[float]]) -> float:
    """Cost of a token in the last tenth of a window over that in the first: 1 is flat."""
    tenths = [(times, max(len(times) // 10, 1)) for times in windows]
    ratios = [statistics.median(t[-n:]) / statistics.median(t[:n]) for t, n in tenths]
    return round(statistics.median(ratios), 3)


# ---- theirs ----


def their_prior(
    name: str, ours: JukeboxPriorConfig, device: torch.device, precision: str | None = None
) -> Any:  # noqa: ANN401
    """The same prior in transformers, with random weights; fp32 on a CPU, half elsewhere."""
    modeling = _their_modeling()
    level = COARSE_TO_FINE.index(ours.level)
    with torch.device("meta"):
        config = modeling.JukeboxPriorConfig(**_their_config(name, ours))
        prior = modeling.JukeboxPrior(config, level=level)
    # They keep no buffers, so that nothing but weights is left to be filled.
    precision = precision or ("fp32" if device.type == "cpu" else "fp16")
    prior = prior.to(compute_dtype(precision, device)).to_empty(device=device).eval()
    fill(prior)
    return prior


def _their_modeling() -> Any:  # noqa: ANN401
    """Imported where it is needed: it takes seconds, and the GPU script does without."""
    return importlib.import_module("transformers.models.deprecated.jukebox.modeling_jukebox")


def _their_config(name: str, ours: JukeboxPriorConfig) -> dict[str, Any]:
    lyrics, labels, conditioner = ours.lyrics, ours.labels, ours.conditioner
    encoder = None if lyrics is None else lyrics.encoder
    patterns = {
        "1b_lyrics": "enc_dec_with_lyrics",
        "5b_lyrics": "large_separated_enc_dec_w_lyrics",
        "upsampler": "raw_column_previous_row_attention",
    }
    values = {
        **_their_stack(ours.transformer, patterns[name]),
        "level": COARSE_TO_FINE.index(ours.level),
        "n_ctx": ours.context_tokens,
        "music_vocab_size": ours.num_codes,
        "is_encoder_decoder": ours.merged_vocabulary,
        "merged_decoder": encoder is not None,
        "nb_relevant_lyric_tokens": 0 if lyrics is None else lyrics.num_tokens,
        "lyric_vocab_size": 80 if lyrics is None else lyrics.num_characters,
        "sampling_rate": ours.sample_rate_hz,
        "res_downs_t": [3, 2, 2],
        "res_strides_t": [2, 2, 2],
    }
    if labels is not None:
        values |= {
            "max_nb_genres": labels.max_genres,
            "metadata_dims": [labels.num_genres, labels.num_artists],
            "timing_dims": labels.num_time_bins,
            "min_duration": labels.min_duration_sec,
            "max_duration": labels.max_duration_sec,
        }
    if lyrics is not None and encoder is not None:
        values["encoder_config"] = {
            **_their_stack(encoder, patterns["upsampler"]),
            "n_ctx": lyrics.num_tokens,
            "is_encoder_decoder": False,
            "music_vocab_size": lyrics.num_characters,
            "lyric_vocab_size": lyrics.num_characters,
            "nb_relevant_lyric_tokens": 0,
        }
    if conditioner is not None:
        values |= {
            "res_conv_width": conditioner.width,
            "res_conv_depth": conditioner.depth,
            "res_dilation_growth_rate": conditioner.dilation_growth_rate,
            "res_dilation_cycle": conditioner.dilation_cycle,
            "conv_res_scale": conditioner.scale_residuals,
        }
    return values


def _their_stack(config: TransformerConfig, pattern: str) -> dict[str, Any]:
    return {
        "attention_pattern": pattern,
        "hidden_size": config.width,
        "num_layers": len(config.layers),
        "n_heads": config.num_heads,
        "blocks": config.num_blocks,
        "attention_multiplier": config.attention_width / config.width,
        "mask": True,
    }


@torch.inference_mode()
def their_step_times(
    theirs: Any,  # noqa: ANN401
    config: JukeboxPriorConfig,
    num_rows: int,
    num_tokens: int,
    clock: Clock = time.perf_counter,
) -> list[float]:
    """Seconds of every token but the first, which includes what is done once for a window.

    A clock stands in for their progress bar, whose drawing costs them 10%.
    """
    times: list[float] = []

    def timed(over: Iterable[int], **_: object) -> mock.MagicMock:
        def moments() -> Iterator[int]:
            for each in over:
                times.append(clock())
                yield each
            times.append(clock())

        bar = mock.MagicMock()
        bar.__iter__.side_effect = moments
        return bar

    device = next(theirs.parameters()).device
    upper = upper_code_rows(config, num_rows)
    with mock.patch.object(_their_modeling(), "tqdm", timed):
        theirs.sample(
            num_rows,
            music_tokens_conds=[] if upper is None else [upper.to(device)],
            metadata=label_rows(config, num_rows).to(device),
            temp=0.99,
            sample_tokens=num_tokens,
        )
    return [later - earlier for earlier, later in itertools.pairwise(times)][1:]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.sample", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--model", type=Path, help="the levels of a model directory, or mini; alone")
    what.add_argument("--full", action="store_true", help="priors of released size")
    parser.add_argument("--prior", nargs="+", choices=PRIORS, default=list(PRIORS))
    parser.add_argument("--width", type=int, nargs="+", default=[256, 512], help="of small ones")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, help="fp32, on a GPU fp16")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--tokens", type=int, help="per row; by default a whole window")
    parser.add_argument("--repeats", type=int, default=3, help="windows of each, in turn")
    parser.add_argument("--backend", nargs="+", choices=BACKENDS, help="by default all that can be")
    parser.add_argument(
        "--their-precision",
        choices=[each for each in PRECISIONS if each != INT8],
        help="of transformers, by default fp32 on a CPU and fp16 elsewhere",
    )
    parser.add_argument("--alone", action="store_true", help="without transformers")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["wall", "thread"], default="wall", help="of a step")
    return parser


if __name__ == "__main__":
    main()
