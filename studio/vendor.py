"""`python -m studio.vendor`: are the libraries of the page what their publishers released?

`studio/vendored.json` names each package with its version, its license, npm's hash of the package,
and the hash of each file that is kept in `static/vendor`. Files are kept as released, with one
change: browsers know no package names, so imports by name become imports by path.

    python -m studio.vendor            compare the files with their hashes; needs no network
    python -m studio.vendor --update   fetch the named versions with `npm pack` and write the files
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MANIFEST = HERE / "vendored.json"
FOLDER = HERE / "static" / "vendor"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if every file is what the manifest says."""
    parser = argparse.ArgumentParser(prog="python -m studio.vendor", description=__doc__)
    parser.add_argument("--update", action="store_true", help="fetch the packages with npm")
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    if parser.parse_args(arguments).update:
        update(manifest)
        MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    found = differences(manifest)
    sys.stderr.write("".join(f"{line}\n" for line in found))
    return 1 if found else 0


def differences(manifest: dict[str, Any]) -> list[str]:
    """One line for each file that is missing, changed, or not in the manifest."""
    wanted = {
        name: file["sha256"]
        for package in manifest["packages"]
        for name, file in package["files"].items()
    }
    present = {
        path.relative_to(FOLDER).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.rglob("*")
        if path.is_file()
    }
    return [
        f"static/vendor/{name}: {_state(name, wanted, present)}"
        for name in sorted(wanted.keys() | present.keys())
        if wanted.get(name) != present.get(name)
    ]


def _state(name: str, wanted: dict[str, str], present: dict[str, str]) -> str:
    if name not in present:
        return "missing; run `python -m studio.vendor --update`"
    if name not in wanted:
        return "not in vendored.json"
    return f"SHA-256 is {present[name]}, vendored.json says {wanted[name]}"


def update(manifest: dict[str, Any]) -> None:
    """Fetch every package, write its files, and note the hashes in `manifest`.

    Raises:
        subprocess.CalledProcessError: npm could not fetch a package.
        KeyError: a package has no file of the name in the manifest.
    """
    FOLDER.mkdir(exist_ok=True)
    for package in manifest["packages"]:
        with tempfile.TemporaryDirectory() as folder:
            archive = _fetch(f"{package['name']}@{package['version']}", Path(folder))
            digest = hashlib.sha512(archive.read_bytes()).digest()
            package["integrity"] = f"sha512-{base64.b64encode(digest).decode()}"
            with tarfile.open(archive) as members:
                for name, file in package["files"].items():
                    content = _content(members, file["source"], manifest["imports"])
                    (FOLDER / name).write_bytes(content)
                    file["sha256"] = hashlib.sha256(content).hexdigest()


def _fetch(package: str, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / done.stdout.strip().splitlines()[-1]


def _content(members: tarfile.TarFile, source: str, imports: dict[str, str]) -> bytes:
    file = members.extractfile(f"package/{source}")
    if file is None:
        raise KeyError(source)
    content = file.read()
    if not source.endswith((".js", ".mjs")):
        return content
    for name, path in imports.items():
        for quote in ("'", '"'):
            content = content.replace(
                f"from{quote}{name}{quote}".encode(), f"from{quote}{path}{quote}".encode()
            )
    # A source map that is not kept would be asked for.
    lines = content.split(b"//# sourceMappingURL=")
    return lines[0].rstrip() + b"\n"


if __name__ == "__main__":
    raise SystemExit(main())
