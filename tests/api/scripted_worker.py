"""The worker's side of the protocol, played by a test: real records, real files, no model."""

import hashlib
import os
from pathlib import Path

import numpy as np
import soundfile

from jobs.files.artifacts import Artifacts
from jobs.files.download_names import file_name
from jobs.record.job import Job, JobError, LevelMetrics, LevelProgress, Output, Stage
from jobs.store import Claim, JobStore
from jukebox_core.channels import spread_rows
from jukebox_core.units import Level

LEASE_SEC = 30.0


class ScriptedWorker:
    """Claims jobs and writes what a worker would write: silence-like codes and short tones."""

    def __init__(self, store: JobStore, artifacts: Artifacts, *, rate_hz: int = 16_000) -> None:
        self._store, self._artifacts, self._rate_hz = store, artifacts, rate_hz

    def claim(self, job_id: str, stage: Stage = Stage.TOP) -> Claim:
        claim = self._store.claim(job_id, stage, worker="scripted", lease_sec=LEASE_SEC)
        assert claim is not None, f"{job_id} cannot be claimed at {stage}"
        return claim

    def report(
        self,
        claim: Claim,
        level: str,
        tokens_done: int,
        value: float,
        *,
        seconds_left: float | None = None,
    ) -> bool:
        progress = {level: LevelProgress(tokens_done=tokens_done, windows_done=0)}
        return self._store.heartbeat(
            claim, progress, value, seconds_left=seconds_left, lease_sec=LEASE_SEC
        )

    def sing(self, job_id: str) -> Job:
        """All stages to the end."""
        job = self._store.get(job_id)
        for level in job.request.levels:
            self.finish_level(self.claim(job_id, Stage(level)))
        self._store.succeed(self.claim(job_id, Stage.RENDER))
        return self._store.get(job_id)

    def fail(self, job_id: str) -> None:
        error = JobError(code="out_of_memory", message="the device is full", retryable=True)
        self._store.fail(self.claim(job_id), error)

    def finish_level(self, claim: Claim) -> None:
        """Write one level's codes and sounds, and hand on to the next stage."""
        job, level = claim.job, str(claim.job.stage)
        plan, samples = job.plan[level], job.request.num_samples
        total = plan.tokens_total
        prompt = plan.given_tokens if plan.infills else plan.prompt_tokens
        rows = samples * job.channels_of(level)
        codes = np.arange(rows * total, dtype=np.int64).reshape(rows, total) % 64
        if prompt:
            kept_codes = self._artifacts.read_all_codes(job.id, job.prompt_codes_name or "")
            codes[:, :prompt] = spread_rows(
                kept_codes[level],
                num_given_takes=len(kept_codes["top"]),
                num_takes=samples,
                num_channels=job.channels_of(level),
            )
        kept = self._artifacts.write_codes(
            job.id, fence=claim.fence, level=level, start=prompt, codes=codes[:, prompt:]
        )
        self._store.record_window(claim, kept)
        finished = {}
        if job.codes_name is not None:
            finished = self._artifacts.read_all_codes(job.id, job.codes_name)
        finished[level] = codes[:, : plan.output_tokens]
        name = self._artifacts.write_all_codes(
            job.id,
            fence=claim.fence,
            codes=finished,
            metadata={"model": job.request.model},
            download_name=file_name(job, "safetensors"),
        )
        outputs = [self._write_tone(claim, sample) for sample in range(samples)]
        self._store.record_outputs(claim, outputs)
        self.report(claim, level, total, 0.9)
        next_stage = job.next_stage()
        assert next_stage is not None
        metrics = LevelMetrics(seconds=2.0, tokens_per_second=total / 2.0)
        self._store.finish_stage(claim, next_stage, metrics=metrics, codes_name=name)

    def _write_tone(self, claim: Claim, sample: int) -> Output:
        job, level = claim.job, str(claim.job.stage)
        plan = job.plan[level]
        name = f"{level}-{sample}-{claim.fence}.wav"
        num_samples = plan.output_tokens * plan.samples_per_token
        pitch_hz = 110.0 * (1 + Level.from_label(level)) * (sample + 1)
        tone = 0.1 * np.sin(2 * np.pi * pitch_hz * np.arange(num_samples) / self._rate_hz)
        if job.request.channels == 2:
            tone = np.stack([tone, tone / 2], axis=1)
        called = file_name(job, "wav", sample=sample, level=level)
        with self._artifacts.new_file(job.id, name, download_name=called) as path:
            soundfile.write(path, tone, self._rate_hz, format="WAV", subtype="PCM_16")
        content = self._artifacts.path(job.id, name).read_bytes()
        return Output(
            name=name,
            level=level,
            sample=sample,
            duration_sec=num_samples / self._rate_hz,
            sample_rate_hz=self._rate_hz,
            num_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            channels=job.request.channels,
        )


def files_below(folder: Path) -> list[Path]:
    """Every file under a folder that may not exist."""
    return [Path(root, name) for root, _, names in os.walk(folder) for name in names]
