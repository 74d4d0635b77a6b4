"""The codec of the model that a worker has loaded, and whether codes were made by it."""

from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor

from jobs.errors import ArtifactCorrupt, ArtifactNotFound
from jobs.files.stored_codes import StoredCodes, codebooks_of
from jobs.record.job import Job
from jukebox_core.codes_file import check_codebooks
from jukebox_core.units import Level
from worker.device.models import LoadedModel
from worker.lease.lease import Lease
from worker.parts import WorkerParts

_ADVICE = (
    "The sound of the song that they come from is unharmed: download it, upload it with "
    "POST /assets, and go on from it with mode `primed`"
)


def loaded_codebooks(worker: WorkerParts, lease: Lease) -> dict[str, str]:
    """The codebooks of the job's model as it is loaded here, by level.

    Raises:
        StageInterrupted, LeaseLost: as `Lease.check`.
        JukeboxError: the model cannot be loaded.
    """
    found: dict[str, str] = {}

    def look(model: LoadedModel) -> Iterator[Tensor]:
        found.update((level.label, each) for level, each in model.codebook_ids.items())
        yield from ()

    work = worker.engine.run_slices(lease.claim.job.request.model, look)
    lease.wait(worker.engine, work)
    work.pieces()
    return found


def check_codec(
    worker: WorkerParts, lease: Lease, codes: Mapping[str, StoredCodes], levels: Iterable[Level]
) -> None:
    """Refuse codes that another codec made, of the levels that the song begins with.

    Codes that do not name their codebook are taken as they are.

    Raises:
        CodecChanged: they would be noise.
        StageInterrupted, LeaseLost, JukeboxError: as `loaded_codebooks`.
    """
    used = [level.label for level in levels]
    found = {name: book for name, book in codebooks_of(codes).items() if name in used}
    if found:
        expected = loaded_codebooks(worker, lease)
        check_codebooks(found, expected, model=lease.claim.job.request.model, advice=_ADVICE)


def drawn_codebooks(
    worker: WorkerParts, job: Job, level: Level, loaded: Mapping[str, str]
) -> dict[str, str]:
    """The codebooks of a job's levels as far as `level`, which was drawn with that of `loaded`.

    Those above keep what their own file says, for the model may have been replaced since.
    """
    above: dict[str, str] = {}
    if job.codes_name is not None:
        try:
            above = codebooks_of(worker.artifacts.open_codes(job.id, job.codes_name))
        except (ArtifactNotFound, ArtifactCorrupt):
            above = {}
    return {**above, level.label: loaded[level.label]}
