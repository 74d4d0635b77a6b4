"""The service in a folder whose name would be cut short in a URL."""

import pytest

from cli.local.signals import StopSignals
from cli.local.stack import StackSettings, free_port, running_stack
from jukebox_client import JukeboxClient, is_over

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


def test_a_service_in_a_folder_of_any_name_sings(tmp_path, tiny_models_dir):
    settings = StackSettings(
        data_dir=tmp_path / "songs#1 ?db=3&a%20b",
        models_dir=tiny_models_dir,
        port=free_port(),
        isolated=True,
    )
    song = {"model": "tiny", "artist": "The Sawtooths", "genre": "drone", "duration_seconds": 1}
    with running_stack(settings, StopSignals()) as stack, JukeboxClient(stack.url) as client:
        job = client.create_job(song | {"levels": ["top"]})
        *_, job = client.follow_job(job.id)
    assert is_over(job)
    assert job.status == "succeeded"
