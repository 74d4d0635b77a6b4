"""What the local stack asks of the job store; a machine without a service has no client of it."""

from contextlib import closing, suppress

from cli.errors import StackError
from cli.local.processes import ChildProcess


def require_welcome(redis_url: str) -> None:
    """Raise StackError where a server refuses us; one that does not answer yet is waited for."""
    from redis.exceptions import AuthenticationError, RedisError, ResponseError

    from jobs.store.connection import connect

    try:
        with connect(redis_url) as client:
            client.ping()
    except (AuthenticationError, ResponseError) as error:
        raise StackError(f"the server of REDIS_URL refuses this: {error}") from error
    except (RedisError, OSError, ValueError):  # the API says what is wrong with a URL
        return


def end_leases(worker: ChildProcess) -> None:
    """What a dead worker held goes on in the next one, without waiting until its leases end."""
    from jobs.errors import JobsError
    from jobs.store import JobStore
    from jobs.store.types import worker_name

    name = worker.environment.get("JUKEBOX_WORKER_NAME") or worker_name(worker.pid)
    with (
        suppress(JobsError, ValueError),
        closing(JobStore(worker.environment["REDIS_URL"])) as store,
    ):
        store.end_leases(name)
