"""The health check of a container: `python -m api.health /readyz` asks the API in this container.

Exits 0 when it answers 200, else 1 with one line that says why. Only the standard library: a check
runs every few seconds.
"""

import json
import os
import sys
import urllib.error
import urllib.request

_TIMEOUT_SEC = 3.0


def ask(port: int, path: str) -> tuple[bool, str]:
    """Whether GET of `path` is answered with 200, and a sentence about it."""
    url = f"http://127.0.0.1:{port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SEC) as response:
            return response.status == 200, f"{path} answers {response.status}"
    except urllib.error.HTTPError as error:
        return False, f"{path} answers {error.code}: {_detail(error)}"
    except OSError as error:
        reason = getattr(error, "reason", error)
        return False, f"the API does not answer at {url}: {reason}; is it still starting?"


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read(10_000))["detail"])
    except (OSError, ValueError, KeyError, TypeError):
        return error.reason


def main() -> int:
    """Exit status for a container's health check."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/healthz"
    is_fine, sentence = ask(int(os.environ.get("JUKEBOX_PORT") or 8000), path)
    sys.stdout.write(f"{sentence}\n")
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
