"""The libraries of the page are what their publishers released."""

import json
import shutil

from studio import vendor


def manifest():
    return json.loads(vendor.MANIFEST.read_text(encoding="utf-8"))


def test_every_vendored_file_has_the_hash_that_the_manifest_names():
    assert vendor.differences(manifest()) == []


def test_every_package_has_a_version_a_license_and_the_hash_of_npm():
    for package in manifest()["packages"]:
        assert package["license"] in {"MIT", "Apache-2.0", "BSD-3-Clause", "OFL-1.1"}
        assert package["integrity"].startswith("sha512-")
        assert any(name.endswith(".LICENSE.txt") for name in package["files"])


def test_a_changed_a_missing_and_a_foreign_file_are_found(tmp_path, monkeypatch):
    folder = tmp_path / "vendor"
    shutil.copytree(vendor.FOLDER, folder)
    monkeypatch.setattr(vendor, "FOLDER", folder)
    (folder / "preact.js").write_text("changed", encoding="utf-8")
    (folder / "htm.js").unlink()
    (folder / "stray.js").write_text("stray", encoding="utf-8")
    found = vendor.differences(manifest())
    assert [line.partition(":")[0] for line in found] == [
        "static/vendor/htm.js",
        "static/vendor/preact.js",
        "static/vendor/stray.js",
    ]
