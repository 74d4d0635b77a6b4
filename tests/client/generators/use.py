"""Run with what openapi-python-client makes of /openapi.json: makes a song and fetches it."""

import sys

from generated import Client
from generated.api.files import download_audio
from generated.api.jobs import create_job, get_job, stream_job_events
from generated.models import AncestralBody, JobView, Problem, ProgressEvent, StatusEvent

# What has a default need not be given.
song = AncestralBody(model="tiny", duration_seconds=2.0, artist="orlavane", lyrics=None)
assert "num_samples" not in song.to_dict()

with Client(base_url=sys.argv[1]) as client:
    job = create_job.sync(client=client, body=song)
    assert isinstance(job, JobView), job
    done = get_job.sync(job.id, client=client)
    assert isinstance(done, JobView), done
    missing = get_job.sync("job_2", client=client)
    assert isinstance(missing, Problem), missing
    events = stream_job_events.sync(job.id, client=client)
    sound = download_audio.sync(job.id, client=client)
    progress = ProgressEvent.from_dict(
        {"value": 0.5, "level": "top", "eta_seconds": None, "levels": {}}
    )
    assert StatusEvent.from_dict
    sys.stdout.write(
        f"{done.status.value} {done.input_.num_samples} {events.count('event: ')} "
        f"{progress.value} {sound.payload.read().decode()}"
    )
