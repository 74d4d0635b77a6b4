"""The files of the page, read once, under a name that changes with their content."""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

STATIC = Path(__file__).resolve().parent / "static"
MEDIA_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""Only these are served. Everything else in the folder is for developers."""
STYLES = "styles/all.css"
_STYLE_ORDER = ("tokens", "base", "layout", "controls", "screens", "song")
_PAGE = "index.html"
_NONCE_BYTES = 16
_VENDOR = "vendor/"
_COMMENT = re.compile(rb"^[ \t]*(?://[^\n]*|/\*\*.*?\*/)$", re.MULTILINE | re.DOTALL)
"""A comment that has its lines to itself, as all of our own have."""
_INDENTATION = re.compile(rb"^[ \t]+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file of the page. `etag` is quoted, as in the header."""

    content: bytes
    media_type: str
    etag: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Every served file by its path in the folder, with `/` between the parts."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is not None and path.is_file():
            name = path.relative_to(STATIC).as_posix()
            content = path.read_bytes()
            if path.suffix == ".js" and not name.startswith(_VENDOR):
                content = _shortened(content)
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            found[name] = StaticFile(content, media_type, etag)
    return found | {STYLES: _joined(found)}


def _joined(files: Mapping[str, StaticFile]) -> StaticFile:
    """All style sheets as one: what is painted first waits for one request only."""
    content = b"\n".join(files[f"styles/{name}.css"].content for name in _STYLE_ORDER)
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    return StaticFile(content, MEDIA_TYPES[".css"], etag)


def _shortened(script: bytes) -> bytes:
    """Without comments and indentation, a quarter smaller.

    The lines keep their numbers. In templates the white space that begins a line means nothing.
    """
    bare = _COMMENT.sub(lambda found: b"\n" * found[0].count(b"\n"), script)
    return _INDENTATION.sub(b"", bare)


@cache
def version() -> str:
    """Changes whenever a file changes, so that browsers may keep files forever."""
    digest = hashlib.sha256()
    for name, file in static_files().items():
        digest.update(f"{name} {file.etag}\n".encode())
    return digest.hexdigest()[:16]


def new_nonce() -> str:
    """A value that style sheets made by this answer's scripts carry; never used twice."""
    return secrets.token_urlsafe(_NONCE_BYTES)


def page(root: str, nonce: str, *, needs_key: bool) -> bytes:
    """The page itself. `root` is put before every path (a proxy's prefix)."""
    folder = f"{root}/studio/{version()}"
    text = _template()
    values = {
        "folder": escape(folder),
        "nonce": escape(nonce),
        "preload": _preload(folder),
        "session": "key_needed" if needs_key else "unknown",
    }
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    return text.encode()


@cache
def _template() -> str:
    return (STATIC / _PAGE).read_text(encoding="utf-8")


def _preload(folder: str) -> str:
    """Modules import each other in chains; named here, they are all fetched at once."""
    names = [name for name in static_files() if name.endswith(".js")]
    return "\n".join(
        f'<link rel="modulepreload" href="{escape(f"{folder}/{name}")}">' for name in names
    )
