"""The library alone singing, as a process like a worker.

`python -m bench.library_song DIR STEP WEIGHTS THREADS`: STEP is a backend or `auto` (what a worker
takes), WEIGHTS `full` or `int8`, THREADS those of torch and cores of the native backend. Reads one
line of JSON for each song from standard input and answers with one: the seconds that drawing and
decoding took, of the finest level (`decode`) and of those above it (`previews`), and the processor
seconds of drawing and the finest level (`cpu`).
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
    directory, step, weights, num_threads = sys.argv[1:]
    torch.set_num_threads(int(num_threads))
    jukebox = JukeboxModel.from_pretrained(Path(directory), device="cpu", weights=weights)
    print(json.dumps({"step": jukebox.use_backend(step)}), flush=True)
    for line in sys.stdin:
        print(json.dumps(sing(jukebox, json.loads(line))), flush=True)


def sing(jukebox: JukeboxModel, request: dict[str, Any]) -> dict[str, float]:
    """One song of a request's fields; seconds of each part."""
    moments, began_cpu = [time.perf_counter()], time.process_time()
    labels = jukebox.tokenizer(request["artist"], request["genre"], request["lyrics"])
    codes = jukebox.ancestral_sample(
        labels,
        1,
        duration_sec=request["duration_seconds"],
        seed=request["seed"],
        speed=request["speed"],
    )
    moments.append(time.perf_counter())
    jukebox.decode(codes)
    moments.append(time.perf_counter())
    cpu = time.process_time() - began_cpu
    for num_levels in range(1, len(codes)):
        jukebox.decode(codes[:num_levels])
    moments.append(time.perf_counter())
    names = ("draw", "decode", "previews")
    pairs = itertools.pairwise(moments)
    spent = {name: end - start for name, (start, end) in zip(names, pairs, strict=True)}
    return spent | {"cpu": cpu}


if __name__ == "__main__":
    main()
