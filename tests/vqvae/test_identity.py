"""The identity of a codec: what changes it, and what does not."""

import copy

import pytest
import torch

from jukebox_core.codes_file import (
    check_codebooks,
    codebook_metadata,
    ingest_codes,
    named_codebooks,
    read_codebooks,
)
from jukebox_core.errors import CodecChanged
from jukebox_core.tiny import tiny_config
from jukebox_core.units import Level
from jukebox_core.vqvae import JukeboxVQVAE
from jukebox_core.vqvae.identity import codebook_ids
from tests.api.sounds import codes_file


@pytest.fixture
def vqvae():
    return JukeboxVQVAE(tiny_config().vqvae)


def test_a_copy_in_half_precision_has_the_same_identity(vqvae):
    half = copy.deepcopy(vqvae)
    for codebook in half.codebooks:
        codebook.codes.copy_(codebook.codes.half())
    assert not torch.equal(half.codebooks[0].codes, vqvae.codebooks[0].codes)
    assert codebook_ids(half) == codebook_ids(vqvae)


def test_another_codebook_changes_the_identity_of_its_level_alone(vqvae):
    before = codebook_ids(vqvae)
    vqvae.codebooks[Level.TOP].codes[3, 2] += 0.5
    after = codebook_ids(vqvae)
    assert {level for level in Level if before[level] != after[level]} == {Level.TOP}
    assert len({*before.values(), *after.values()}) == 4


def test_codes_of_another_codebook_are_refused_with_both_and_with_what_to_do():
    found, expected = {"top": "a" * 16}, {"top": "b" * 16, "middle": "c" * 16}
    check_codebooks(found, found, model="m", advice="Do this")
    check_codebooks({}, expected, model="m", advice="Do this")
    with pytest.raises(CodecChanged, match=r"top .* a{16}, .* m is b{16}.* Do this"):
        check_codebooks(found, expected, model="m", advice="Do this")


def test_metadata_that_names_no_codebook_counts_for_nothing():
    odd = {"codebook_top": "A" * 16, "codebook_middle": 3, "codebook_bottom": "f" * 17}
    assert named_codebooks(odd) == {}
    assert named_codebooks(codebook_metadata({"middle": "0" * 16})) == {"middle": "0" * 16}


def test_uploaded_codes_keep_the_codebooks_of_the_levels_that_they_hold(tmp_path):
    metadata = codebook_metadata({"top": "a" * 16, "bottom": "b" * 16})
    source, kept = tmp_path / "sent", tmp_path / "kept"
    source.write_bytes(codes_file(levels=2, metadata={"model": "tiny", **metadata}))
    assert ingest_codes(source, kept).model == "tiny"
    assert read_codebooks(kept) == {"top": "a" * 16}
