"""A directory as transformers 4.57.6 writes one: a small model and a tokenizer with a few names."""

import json
from pathlib import Path

from transformers import JukeboxTokenizer

from tests.parity.transformers_models import GENRES, build

ARTISTS = {"the sawtooths": 1, "the_sawtooths.v2": 1, "r_e_m.v2": 2}
GENRES_BY_NAME = {"drone": 1, "drone.v2": 1, "country.v2": 2, "rock.v2": 3}
VERSIONS = {"1b": ["v3", "v2", "v2"], "5b": ["v2", "v2", "v2"]}
_V3_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:;!?-'\"()[] \t\n"


def write_directory(directory: Path, kind: str) -> None:
    """`kind` is "1b" or "5b"; the folder is made."""
    # Its tied embeddings cannot be written as safetensors (it refuses); `.bin` is what it can do.
    build(kind).save_pretrained(directory, safe_serialization=False)
    tokenizer_of(directory, kind).save_pretrained(directory)


def tokenizer_of(directory: Path, kind: str) -> JukeboxTokenizer:
    lists = {
        "artists": ARTISTS,
        "genres": GENRES_BY_NAME,
        "lyrics": {character: id_ for id_, character in enumerate(_V3_CHARACTERS, start=1)},
    }
    for name, ids in lists.items():
        (directory / f"{name}.json").write_text(json.dumps(ids), encoding="utf-8")
    files = [str(directory / f"{name}.json") for name in lists]
    return JukeboxTokenizer(*files, version=VERSIONS[kind], n_genres=GENRES[kind])
