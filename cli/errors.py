"""Everything a command ends with on purpose; `cli/main.py` shows the sentence and exits with 1.

CliError
├── UsageError            what was typed cannot be done
├── ServiceUnreachable    no service answers at the address
├── ServiceProblem        the service answered with a problem document
├── DownloadError         what arrived is not what the service announced
└── StackError            a process of the local stack did not start, or died
"""

from jukebox_core.disk_errors import disk_reason


class CliError(Exception):
    """Base of all errors of this package."""


class UsageError(CliError):
    """What was typed cannot be done."""


class ServiceUnreachable(CliError):
    """No service answers at the address."""


class ServiceProblem(CliError):
    """The service answered with an error.

    `code` is the stable word of its problem document; empty when it sent none. `retry_after_sec` is
    the pause that it asks for before the next try.
    """

    def __init__(
        self, message: str, *, status: int, code: str, retry_after_sec: float = 1.0
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after_sec = status, code, retry_after_sec


class DownloadError(CliError):
    """What arrived is not what the service announced."""


class StackError(CliError):
    """A process of the local stack did not start, or died."""


def system_sentence(error: OSError) -> str:
    """Why the system refused, with the file; a full disk is named as such."""
    if error.strerror is None:
        return str(error)
    files = " and ".join(str(each) for each in (error.filename, error.filename2) if each)
    return f"{disk_reason(error) or error.strerror}{f': {files}' if files else ''}"
