"""What a song begins with: codes in the job's folder, or a recording that becomes codes once."""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.forecast import PartKind
from jukebox_core.audio import read_audio
from jukebox_core.channels import rows_of_level, spread_rows
from jukebox_core.codes_file import codebook_metadata
from jukebox_core.errors import AudioError, CodecChanged
from jukebox_core.units import Level
from jukebox_core.vqvae.long_audio import iter_encode
from worker.device.models import LoadedModel
from worker.lease.lease import Lease
from worker.parts import WorkerParts
from worker.song.codec import check_codec, loaded_codebooks
from worker.song.job_song import JobSong

log = logging.getLogger(__name__)

PromptCodes = dict[Level, NDArray[np.int64]]

SLICE_SAMPLES = 2**17
"""Audio encoded between two steps of the songs that are being drawn: 3 s at 44.1 kHz."""


def read_prompt(worker: WorkerParts, lease: Lease, song: JobSong) -> PromptCodes:
    """The codes that a job begins with, int64 [rows, n] of each level that has any.

    A recording is encoded when its codes are asked for first, and again should they be lost or
    the model's codec have been replaced since.

    Raises:
        ArtifactNotFound: there are neither codes nor a recording.
        ArtifactCorrupt: they are not what the plan counts on.
        CodecChanged: they were made by another codec than the model's.
        AudioError: the recording cannot be read.
        StageInterrupted, LeaseLost: as `Lease.check`.
    """
    if not song.prompt_tokens:
        return {}
    job = lease.claim.job
    if job.prompt_codes_name is not None:
        try:
            stored = worker.artifacts.open_codes(job.id, job.prompt_codes_name)
            check_codec(worker, lease, stored, song.prompt_tokens)
            codes = {level: each.to_array().astype(np.int64) for level, each in stored.items()}
            return _checked(song, codes)
        except (ArtifactNotFound, ArtifactCorrupt, CodecChanged) as error:
            if job.prompt_audio_name is None:
                raise
            log.warning("encoding the prompt again: %s", error, extra={"job_id": job.id})
    elif job.prompt_audio_name is None:
        raise ArtifactNotFound(f"job {job.id} names neither codes nor sound to begin with")
    return _encode_and_keep(worker, lease, song, job.prompt_audio_name)


def _checked(song: JobSong, codes: dict[str, NDArray[np.int64]]) -> PromptCodes:
    """The kept part of every level. Raises ArtifactCorrupt."""
    kept: PromptCodes = {}
    nothing = np.zeros((0, 0), np.int64)
    num_given_takes = len(codes.get(Level.TOP.label, nothing))
    for level, num_tokens in song.prompt_tokens.items():
        rows = codes.get(level.label, nothing)
        try:
            kept[level] = spread_rows(
                rows[:, :num_tokens],
                num_given_takes=num_given_takes,
                num_takes=song.song.num_samples,
                num_channels=rows_of_level(level, 1, song.song.channels),
            )
        except ValueError as error:
            raise _unfit(song, level, rows) from error
        if kept[level].shape[1] < num_tokens:
            raise _unfit(song, level, rows)
        if not (kept[level] >= 0).all() or not (kept[level] < song.config.vqvae.num_codes).all():
            raise ArtifactCorrupt(
                f"codes of the prompt's {level.label} level lie outside 0 to "
                f"{song.config.vqvae.num_codes - 1}"
            )
    return kept


def _unfit(song: JobSong, level: Level, rows: NDArray[np.int64]) -> ArtifactCorrupt:
    return ArtifactCorrupt(
        f"the prompt has codes {list(rows.shape)} of the {level.label} level; wanted 1 or "
        f"{song.song.num_samples} rows of at least {song.prompt_tokens[level]}, for each channel"
    )


def _encode_and_keep(worker: WorkerParts, lease: Lease, song: JobSong, name: str) -> PromptCodes:
    claim = lease.claim
    audio = _read_recording(worker, lease, song, name)
    codes = {level.label: _encode(worker, lease, level, audio) for level in song.prompt_tokens}
    prompt = _checked(song, codes)
    codebooks = loaded_codebooks(worker, lease)
    codes_name = worker.artifacts.write_all_codes(
        claim.job.id,
        fence=claim.fence,
        codes={
            level.label: codes[level.label][:, :num_tokens]
            for level, num_tokens in song.prompt_tokens.items()
        },
        metadata={
            "model": claim.job.request.model,
            **codebook_metadata({level: codebooks[level] for level in codes}),
        },
        kind="prompt",
    )
    lease.write(lambda: worker.store.record_prompt(claim, codes_name))
    log.info("prompt encoded", extra={"job_id": claim.job.id, "stage": claim.job.stage})
    return prompt


def _read_recording(worker: WorkerParts, lease: Lease, song: JobSong, name: str) -> Tensor:
    """float32 [1, samples, 1]: the part of the recording that the song keeps."""
    path = worker.artifacts.path(lease.claim.job.id, name)
    time_base = song.config.time_base
    num_samples = max(
        time_base.tokens_to_samples(num_tokens, level)
        for level, num_tokens in song.prompt_tokens.items()
    )
    rate_hz = time_base.sample_rate_hz
    try:
        audio = read_audio(path, sample_rate_hz=rate_hz, duration_sec=num_samples / rate_hz)
    except AudioError as error:
        # The recording was checked when the job was made: what is wrong now is the stored file.
        raise ArtifactCorrupt(str(error)) from error
    if len(audio) < num_samples:
        raise ArtifactCorrupt(f"{name} has {len(audio)} samples; wanted {num_samples} at least")
    return audio[None, :num_samples]


def _encode(worker: WorkerParts, lease: Lease, level: Level, audio: Tensor) -> NDArray[np.int64]:
    """int64 [1, n]; the device is borrowed for one piece of the sound at a time."""

    def slices(model: LoadedModel) -> Iterator[Tensor]:
        chunk_tokens = max(SLICE_SAMPLES // model.vqvae.config.samples_per_token[level], 1)
        for piece in iter_encode(model.vqvae, audio, level, chunk_tokens):
            yield piece.cpu()

    work = worker.engine.run_slices(lease.claim.job.request.model, slices)
    lease.progress.parts.watch(PartKind.PROMPT, None, work.time)
    lease.wait(worker.engine, work)
    return torch.cat(work.pieces(), dim=1).numpy()
