"""The sound of a level, made beside the drawing: early, and the same as if it were made at once."""

import threading
import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import redis
import soundfile
import torch

from jobs.files.artifacts import peaks_name
from jobs.files.local_artifacts import LocalArtifacts
from jobs.record.codec import output_field, to_json
from jobs.record.job import JobStatus, Stage, new_job_id
from jobs.store.scripts import record_key
from jukebox_core.audio.peaks import write_peaks_of
from jukebox_core.units import Level
from tests.worker.jobs_and_processes import decode_alone, run_stage, sing_alone
from worker.device.works import SliceTime
from worker.lease.parts_progress import PartsProgress
from worker.song.level_audio import LevelSound

pytestmark = pytest.mark.redis


@pytest.fixture
def begun(monkeypatch):
    """(codes that were final, pieces begun by then) at every call, with small pieces."""
    monkeypatch.setattr("jukebox_core.vqvae.chunks.NEAR_SAMPLES", 4096)
    calls = []
    real = LevelSound.begin

    def begin(sound, codes, num_tokens):
        real(sound, codes, num_tokens)
        calls.append((num_tokens, len(sound._begun)))

    monkeypatch.setattr(LevelSound, "begin", begin)
    return calls


def test_a_level_becomes_sound_while_it_is_drawn(service, worker, models_dir, begun):
    job = service.admit(levels=("top",), duration_seconds=12.0, num_samples=2)
    run_stage(worker, job.id, Stage.TOP)
    now = service.store.get(job.id, with_windows=True)
    finals, pieces = zip(*begun, strict=True)
    assert list(finals) == sorted(finals)
    assert 0 < pieces[0] < pieces[-1], "some were begun after the first window, some at the end"
    codes = sing_alone(models_dir, job)["top"]
    for output in now.outputs:
        sound, _ = soundfile.read(service.artifacts.path(job.id, output.name), dtype="float32")
        alone = decode_alone(models_dir, codes, "top")[output.sample]
        np.testing.assert_allclose(sound, alone, atol=2 / 2**15)


def test_the_peaks_of_a_sound_are_kept_beside_it(service, worker, tmp_path):
    job = service.admit(levels=("top",), duration_seconds=12.0, num_samples=2)
    run_stage(worker, job.id, Stage.TOP)
    run_stage(worker, job.id, Stage.RENDER)
    for output in service.store.get(job.id).outputs:
        kept = service.artifacts.path(job.id, peaks_name(output.name))
        write_peaks_of(service.artifacts.path(job.id, output.name), tmp_path / "again.dat")
        assert kept.read_bytes() == (tmp_path / "again.dat").read_bytes()


@pytest.fixture
def decoded(monkeypatch):
    """(first token, last) of every piece that is decoded, with small pieces."""
    monkeypatch.setattr("jukebox_core.vqvae.chunks.NEAR_SAMPLES", 4096)
    pieces = []
    real = LevelSound._decode_row

    def decode_row(sound, row, chunk):
        pieces.append((chunk.keep_start, chunk.keep_end))
        return real(sound, row, chunk)

    monkeypatch.setattr(LevelSound, "_decode_row", decode_row)
    return pieces


def sung_draft(service, worker, **changes):
    draft = service.admit(levels=("top",), duration_seconds=12.0, **changes)
    run_stage(worker, draft.id, Stage.TOP)
    return service.store.get(draft.id)


def longer(service, worker, draft, num_kept, *, parent, sample=0, **changes):
    """The same draft and one second more, as 16-bit samples of its first take."""
    rows = service.artifacts.read_all_codes(draft.id, draft.codes_name)["top"]
    job = service.admit(
        parent=parent,
        codes={"top": rows[sample : sample + 1, :num_kept]},
        sample=sample,
        levels=("top",),
        duration_seconds=13.0,
        **changes,
    )
    run_stage(worker, job.id, Stage.TOP)
    (output, *_) = service.store.get(job.id).outputs
    return soundfile.read(service.artifacts.path(job.id, output.name), dtype="int16")[0]


@pytest.mark.parametrize("num_samples", [1, 2])
def test_what_a_parent_has_is_not_decoded_again_and_sounds_the_same(
    service, worker, decoded, num_samples
):
    draft = sung_draft(service, worker, num_samples=2)
    decoded.clear()
    alone = longer(service, worker, draft, 700, parent=None, sample=1, num_samples=num_samples)
    all_pieces = set(decoded)
    decoded.clear()
    sound = longer(service, worker, draft, 700, parent=draft, sample=1, num_samples=num_samples)
    np.testing.assert_array_equal(sound, alone)
    again = set(decoded)
    assert len(again) <= len(all_pieces) / 2
    assert min(again)[0] == 0, "the first piece is compared"
    assert all(end > 600 for start, end in again if start)


@pytest.mark.parametrize("trouble", ["other sound", "damaged", "deleted", "no record"])
def test_a_parent_whose_sound_cannot_be_used_is_decoded_again(service, worker, decoded, trouble):
    draft = sung_draft(service, worker)
    alone = longer(service, worker, draft, 700, parent=None)
    all_pieces = len(decoded)
    (output,) = draft.outputs
    path = service.artifacts.path(draft.id, output.name)
    parent = draft
    if trouble == "other sound":
        samples, rate_hz = soundfile.read(path, dtype="int16")
        soundfile.write(path, samples // 2, rate_hz)
        sha256, num_bytes = service.artifacts.fingerprint(draft.id, output.name)
        changed = replace(output, sha256=sha256, num_bytes=num_bytes)
        parent = replaced_outputs(service, draft, changed)
    elif trouble == "damaged":
        path.write_bytes(path.read_bytes()[:-100])
    elif trouble == "deleted":
        path.unlink()
    else:
        parent = replace(draft, id=new_job_id())
    decoded.clear()
    np.testing.assert_array_equal(longer(service, worker, draft, 700, parent=parent), alone)
    assert len(decoded) >= all_pieces / 2


def replaced_outputs(service, job, output):
    with redis.Redis.from_url(service.redis_url, decode_responses=True) as client:
        client.hset(record_key(job.id), output_field(output), to_json(output))
    return service.store.get(job.id)


def test_segments_become_sound_when_they_are_joined(service, worker, models_dir, begun):
    job = service.admit(levels=("top", "middle"), duration_seconds=4.0, speed="parallel")
    run_stage(worker, job.id, Stage.TOP)
    begun.clear()
    run_stage(worker, job.id, Stage.MIDDLE)
    assert len(begun) == 1, "at the end, and not before"
    now = service.store.get(job.id, with_windows=True)
    (middle,) = [output for output in now.outputs if output.level == "middle"]
    sound, _ = soundfile.read(service.artifacts.path(job.id, middle.name), dtype="float32")
    codes = service.artifacts.read_all_codes(job.id, now.codes_name)["middle"]
    alone = decode_alone(models_dir, codes, "middle")[0]
    np.testing.assert_allclose(sound, alone, atol=2 / 2**15)


def test_a_sound_that_cannot_be_made_fails_the_job(service, worker, monkeypatch, caplog):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("jukebox_core.vqvae.JukeboxVQVAE.decode_between", fail)
    job = service.admit(levels=("top",))
    run_stage(worker, job.id, Stage.TOP)
    now = service.store.get(job.id, with_windows=True)
    assert (now.status, now.error.code) == (JobStatus.FAILED, "out_of_memory")


def test_sound_is_made_while_the_engine_is_busy(worker):
    is_busy, go_on = threading.Event(), threading.Event()

    def slices(model):
        assert is_busy.wait(60)
        yield torch.ones(1)

    work = worker.engine.run_beside("tiny", slices)
    worker.engine._inbox.put(lambda: (is_busy.set(), go_on.wait(60)))
    try:
        assert work.wait(60)
        assert not go_on.is_set()
    finally:
        go_on.set()
    assert [piece.tolist() for piece in work.pieces()] == [[1.0]]


def test_where_all_cores_share_a_token_sound_is_made_between_tokens(worker, monkeypatch):
    monkeypatch.setattr("jukebox_core.config.transformer.MAX_SMALL_WIDTH", 0)
    makers = []

    def slices(model):
        makers.append(threading.current_thread())
        yield torch.ones(1)

    engine = worker.engine._shelf.get("tiny").engine
    engine._num_threads = 2
    assert not engine.shares_tokens, "no prior is here"
    for is_here in (False, True):
        if is_here:
            engine._runners.for_newcomer(Level.TOP)
        assert worker.engine.run_beside("tiny", slices).wait(60)
    assert makers == [worker.engine._second, worker.engine]


def test_sound_that_nobody_waits_for_is_not_made(worker):
    started, go_on, made = threading.Event(), threading.Event(), []

    def first(model):
        started.set()
        assert go_on.wait(60)
        yield torch.ones(1)

    def second(model):
        made.append("sound")
        yield torch.ones(1)

    blocking = worker.engine.run_beside("tiny", first)
    dropped = worker.engine.run_beside("tiny", second)
    assert started.wait(60)
    worker.engine.cancel(dropped)
    last = worker.engine.run_beside("tiny", lambda model: iter([torch.ones(1)]))
    while not dropped.is_dropped:
        threading.Event().wait(0.01)
    go_on.set()
    assert blocking.wait(60)
    assert last.wait(60)
    assert made == []


def test_an_engine_that_ends_leaves_no_sound_under_way(worker):
    started, go_on, made = threading.Event(), threading.Event(), []

    def first(model):
        started.set()
        assert go_on.wait(60)
        made.append("first")
        yield torch.ones(1)
        made.append("more of the first")

    worker.engine.run_beside("tiny", first)
    worker.engine.run_beside("tiny", lambda model: iter(made))
    assert started.wait(60)
    worker.engine.stop()
    worker.engine.join(0.2)
    assert worker.engine.is_alive(), "it waits for the slice"
    go_on.set()
    worker.engine.join(60)
    assert not worker.engine.is_alive()
    assert not worker.engine._second.is_alive()
    assert made == ["first"]


def test_however_many_pieces_a_level_has_few_are_in_memory_at_a_time(tmp_path):
    """The pieces are made when they are waited for, as by a device that is just fast enough."""
    made, most_alive = weakref.WeakSet(), 0

    class Work:
        has_ended, error, time = False, None, SliceTime()

        def pieces(self):
            return self._pieces

        def make(self):
            nonlocal most_alive
            self._pieces, self.has_ended = [torch.full((4096, 1), 0.25)], True
            made.update(self._pieces)
            most_alive = max(most_alive, len(made))

    artifacts = LocalArtifacts(tmp_path)
    vqvae = SimpleNamespace(samples_per_token={Level.TOP: 128}, post_filter=None)
    card = SimpleNamespace(config=SimpleNamespace(vqvae=vqvae))
    engine = SimpleNamespace(run_beside=lambda *_: Work(), cancel=lambda _: None)
    worker = SimpleNamespace(
        artifacts=artifacts, catalog={"tiny": card}, engine=engine, device_name="a GPU"
    )
    request = SimpleNamespace(model="tiny")
    lease = SimpleNamespace(
        claim=SimpleNamespace(
            job=SimpleNamespace(id=new_job_id(), request=request, parent_id=None), fence=1
        ),
        wait=lambda _, work: work.make(),
        progress=SimpleNamespace(parts=PartsProgress()),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.song.level_audio.decoder_reach_tokens", lambda *_: 0)
        patch.setattr("worker.song.level_audio.SLICE_SAMPLES", 4096)
        with LevelSound(worker, lease, Level.TOP, 32 * 50) as sound:
            sounds = sound.finish(np.zeros((4, 32 * 50), np.int64))
            samples = [np.concatenate(list(each.blocks())) for each in sounds]
    assert [len(each) for each in samples] == [4096 * 50] * 4
    assert all((each == 8192).all() for each in samples)
    assert most_alive <= 8, "those of one piece, and of the one before it"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
