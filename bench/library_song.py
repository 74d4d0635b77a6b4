"""The library alone singing a song, as a process like a worker: `python -m bench.library_song DIR`.

Reads one line of JSON for each song from standard input and answers with one: the seconds that
drawing and decoding took, of the finest level (`decode`) and of those above it (`previews`).
"""

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

from jukebox_core.model import JukeboxModel


def main() -> None:
    """Until the end of the input."""
    torch.set_num_threads(1)
    jukebox = JukeboxModel.from_pretrained(Path(sys.argv[1]), device="cpu")
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(sing(jukebox, json.loads(line))), flush=True)


def sing(jukebox: JukeboxModel, request: dict[str, Any]) -> dict[str, float]:
    """One song of a request's fields; seconds of each part."""
    moments = [time.perf_counter()]
    labels = jukebox.tokenizer(request["artist"], request["genre"], request["lyrics"])
    codes = jukebox.ancestral_sample(
        labels, 1, duration_sec=request["duration_seconds"], seed=request["seed"]
    )
    moments.append(time.perf_counter())
    jukebox.decode(codes)
    moments.append(time.perf_counter())
    for num_levels in range(1, len(codes)):
        jukebox.decode(codes[:num_levels])
    moments.append(time.perf_counter())
    names = ("draw", "decode", "previews")
    pairs = itertools.pairwise(moments)
    return {name: end - start for name, (start, end) in zip(names, pairs, strict=True)}


if __name__ == "__main__":
    main()
