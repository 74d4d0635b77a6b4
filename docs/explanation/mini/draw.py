"""Draws the curves of the training of `mini` from the logs beside this file.

`python docs/explanation/mini/draw.py [RUNS]` (needs matplotlib) first copies the logs of RUNS, e.g.
`build/mini/runs`, into this folder: each evaluation and each tenth line.
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

HERE = Path(__file__).parent
RUNS = {
    "vqvae": ("top", "middle", "bottom", "top-heads"),
    # The top prior was trained in runs: without the metre, with it, and on longer songs, too; then
    # for the codec with more heads, in several that are one here, as is what followed below.
    "prior": (
        "top",
        "top-metre",
        "top-longer",
        "top-heads",
        "middle",
        "middle-heads",
        "bottom",
        "bottom-longer",
    ),
}
CURVES = {
    "vqvae": (
        ("held_out_snr_db", "SNR, dB"),
        ("held_out_log_spectral_distance_db", "log-spectral distance, dB"),
        ("held_out_perplexity", "perplexity of the codes"),
        ("vowel", "vowel loss of the head, nats"),
        ("artist", "artist loss of the head, nats"),
    ),
    "prior": (
        ("bits_per_token", "bits per token, training"),
        ("held_out_bits_per_token", "bits per token, held out"),
        ("held_out_attention_accuracy", "alignment head within a character"),
        ("held_out_d_lyrics", "rise with wrong lyrics, bits"),
        ("held_out_d_artist", "rise with wrong artist, bits"),
        ("held_out_d_genre", "rise with wrong genre, bits"),
        ("bar_accuracy", "place in the bar, within 1 of 32"),
        ("held_out_d_upper", "rise with wrong upper codes, bits"),
    ),
}
KEPT_EVERY = 10


def main() -> None:
    """Take logs over if told where from, and draw."""
    if len(sys.argv) > 1:
        for run in sorted(Path(sys.argv[1]).iterdir()):
            _keep(run / "log.jsonl", HERE / f"{run.name}.jsonl")
    for kind, curves in CURVES.items():
        _draw(kind, curves)


def _keep(log: Path, kept: Path) -> None:
    lines = log.read_text(encoding="utf-8").splitlines()
    wanted = [
        line
        for number, line in enumerate(lines)
        if "held_out" in line or number % KEPT_EVERY == 0 or number == len(lines) - 1
    ]
    kept.write_text("\n".join(map(_rounded, wanted)) + "\n", encoding="utf-8")


def _rounded(line: str) -> str:
    values = json.loads(line)
    return json.dumps(
        {name: float(f"{x:.5g}") if isinstance(x, float) else x for name, x in values.items()}
    )


def _draw(kind: str, curves: tuple[tuple[str, str], ...]) -> None:
    logs = {level: _read(HERE / f"{kind}-{level}.jsonl") for level in RUNS[kind]}
    columns = -(-len(curves) // 2)
    figure, grid = pyplot.subplots(2, columns, figsize=(4 * columns, 6.4))
    for axis, (name, title) in zip(grid.flat, curves, strict=False):
        for level, lines in logs.items():
            points = [(line["step"], line[name]) for line in lines if name in line]
            if points:
                axis.plot(*zip(*points, strict=True), label=level, marker=".")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    for axis in grid.flat[len(curves) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(HERE / f"{kind}.png", dpi=70)


def _read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
