"""What commands end with on purpose; `cli/main.py` shows the sentence and exits with 1.

`cli/service/sentences.py` has the words for errors of the client, which pass through.

CliError
├── UsageError            what was typed cannot be done
└── StackError            a process of the local stack did not start, or died
"""

from jukebox_core.disk_errors import disk_reason


class CliError(Exception):
    """Base of all errors of this package."""


class UsageError(CliError):
    """What was typed cannot be done."""


class StackError(CliError):
    """A process of the local stack did not start, or died."""


def reason_of(error: OSError | ValueError) -> str:
    """Why something could not be read, without numbers of the system and names of files."""
    if not isinstance(error, OSError):
        return str(error)
    return disk_reason(error) or error.strerror or str(error)


def system_sentence(error: OSError) -> str:
    """Why the system refused, with the file; a full disk is named as such."""
    if error.strerror is None:
        return str(error)
    files = " and ".join(str(each) for each in (error.filename, error.filename2) if each)
    return f"{reason_of(error)}{f': {files}' if files else ''}"
