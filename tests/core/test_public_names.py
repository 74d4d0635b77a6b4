import subprocess
import sys

import jukebox_core


def test_every_public_name_can_be_imported():
    for name in jukebox_core.__all__:
        assert getattr(jukebox_core, name).__name__ == name


def test_the_parts_that_the_api_needs_import_no_torch():
    program = (
        "import sys, jukebox_core, jukebox_core.models.catalog, jukebox_core.labels, "
        "jukebox_core.sampling.cascade\n"
        "jukebox_core.JukeboxConfig, jukebox_core.Level\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
