"""The settings that each process of the local stack inherits, by name.

Kept equal to the settings classes of the processes by a test; `cli` imports none of these.
"""

from collections.abc import Mapping

from jobs.setting_groups import GROUPS, earlier_variables
from jukebox_core.child_processes import TORCH_VARIABLES

_EVERYWHERE = (
    *("REDIS_URL", "JUKEBOX_DATA_DIR", "JUKEBOX_TUNING"),
    *("JUKEBOX_LOG_FORMAT", "JUKEBOX_LOG_LEVEL"),
)

_ALL_GROUPS = tuple(GROUPS)

API_SETTINGS = (
    *_EVERYWHERE,
    *("JUKEBOX_MODELS_DIR", "JUKEBOX_HOST", "JUKEBOX_PORT"),
    *("JUKEBOX_PUBLIC_URL", "FORWARDED_ALLOW_IPS", "JUKEBOX_CORS_ORIGINS"),
    *("JUKEBOX_WEBHOOKS", "JUKEBOX_WEBHOOK_ALLOWED_HOSTS", *_ALL_GROUPS),
)
WORKER_SETTINGS = (
    *_EVERYWHERE,
    *("JUKEBOX_MODELS_DIR", "JUKEBOX_DEVICE", "JUKEBOX_DTYPE", "JUKEBOX_WEIGHTS"),
    *("JUKEBOX_PLACEMENT", "JUKEBOX_STAGES", "JUKEBOX_CONCURRENCY", "JUKEBOX_LEASE_SEC"),
    *("JUKEBOX_MAX_ROWS", "JUKEBOX_IDLE_UNLOAD_SEC", "JUKEBOX_BACKEND"),
    *("JUKEBOX_METRICS_HOST", "JUKEBOX_METRICS_PORT", "JUKEBOX_WORKER_NAME"),
    "JUKEBOX_HEALTH_FILE",
)
WEBHOOK_SETTINGS = (
    *_EVERYWHERE,
    *("JUKEBOX_WEBHOOK_ALLOWED_HOSTS", "JUKEBOX_PUBLIC_URL"),
    *("JUKEBOX_HEALTH_FILE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
EARLIER_SETTINGS = (
    *earlier_variables(*_ALL_GROUPS),
    *("JUKEBOX_NATIVE_STEP", "JUKEBOX_FUSED_STEP"),
)
"""Names of earlier releases that this one still reads."""

INHERITED: Mapping[str, tuple[str, ...]] = {
    "api": (*API_SETTINGS, *EARLIER_SETTINGS),
    "worker": (*WORKER_SETTINGS, *EARLIER_SETTINGS, *TORCH_VARIABLES),
    "jobs.webhooks": (*WEBHOOK_SETTINGS, *EARLIER_SETTINGS),
}
"""By module that is started with `python -m`."""
