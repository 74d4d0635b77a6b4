"""`python -m worker`: one worker process."""

import gc
import logging
import signal
import sys
import warnings

from jobs.setting_groups import InvalidSettings
from worker.settings import WorkerSettings


def main() -> int:
    """Exit status 2 when the environment asks for what cannot be."""
    try:
        settings = WorkerSettings.from_environment()
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return 2
    # Until Celery takes the signal over, there is no job to give back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Imported only now: torch takes seconds, and a wrong setting should show at once. What is
    # imported stays: looking through it for garbage is an eighth of those seconds.
    gc.disable()
    from celery.platforms import SecurityWarning

    from jobs.logs import configure_logging
    from worker.app import build_parts, run_worker

    gc.freeze()
    gc.enable()
    configure_logging(settings.log_format, settings.log_level)
    # Celery fears root because of pickled messages, and takes only JSON here.
    warnings.simplefilter("ignore", SecurityWarning)
    # These repeat, with all their arguments, what the tasks tell themselves.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return run_worker(build_parts(settings))
    except InvalidSettings as error:
        sys.stderr.write(f"{error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
