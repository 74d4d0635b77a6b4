"""On PYTHONPATH of a container, this makes `1b_lyrics` the small model that a local server has.

Everything else of `jukebox models pull 1b_lyrics` is as it is shipped.
"""

import jukebox_core.models.released as released
from tests.fixtures.released_models import small_model

released.released_model = small_model
