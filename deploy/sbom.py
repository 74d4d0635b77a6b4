"""Write a software bill of materials of this image: CycloneDX 1.6, JSON, to the path that is given.

Lists the Python packages of the interpreter that runs it, and the Debian packages of the image.
"""

import json
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import quote

PRODUCT = "jukebox-service"


def main() -> None:
    """Write the document."""
    python = {each.name.lower().replace("_", "-"): each for each in distributions()}
    product = python.pop(PRODUCT)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": _python_package(PRODUCT, product, "application")},
        "components": [
            *(_python_package(name, python[name], "library") for name in sorted(python)),
            *_debian_packages(),
        ],
    }
    Path(sys.argv[1]).write_text(json.dumps(document, indent=1), encoding="utf-8")


def _python_package(name: str, package: Distribution, kind: str) -> dict[str, object]:
    component: dict[str, object] = {
        "type": kind,
        "name": name,
        "version": package.version,
        "purl": f"pkg:pypi/{name}@{quote(package.version)}",
        "bom-ref": f"pkg:pypi/{name}@{quote(package.version)}",
    }
    expression = package.metadata.get("License-Expression")
    if expression:
        component["licenses"] = [{"expression": expression}]
    return component


def _debian_packages() -> list[dict[str, object]]:
    fields = "${binary:Package} ${Version} ${Architecture}\n"
    listed = subprocess.run(
        ["dpkg-query", "--show", "--showformat", fields], capture_output=True, text=True, check=True
    )
    packages = []
    for line in listed.stdout.splitlines():
        name, version, architecture = line.split()
        name = name.partition(":")[0]
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version)}?arch={architecture}"
        packages.append(
            {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}
        )
    return packages


if __name__ == "__main__":
    main()
