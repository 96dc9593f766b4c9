"""The example instances of R4 (npm `hl7.fhir.r4.examples` 4.0.1, CC0), fetched once into `.clarity/cache`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.shared_data import ROOT

PACKAGE = "hl7.fhir.r4.examples@4.0.1"
CACHE = ROOT / ".clarity" / "cache"
ARCHIVE = CACHE / "hl7.fhir.r4.examples-4.0.1.tgz"
DIGEST = "dce87f1b5b9341867033f7d1f544fa1b5232503f6d62813887ac6b8a8b6cb682"
# The package also has all definitions of R4; these types have no other instances in it.
DEFINITIONS = (
    "SearchParameter-",
    "ValueSet-",
    "CodeSystem-",
    "StructureDefinition-",
    "ConceptMap-",
    "OperationDefinition-",
)
LARGE = 1 << 20


@cache
def examples() -> dict[str, bytes]:
    """Return the instances below 1 MB by file name, such as `Patient-example.json`."""
    return {path.name: path.read_bytes() for path in sorted(_folder().glob("*.json"))}


def all_files() -> Iterator[tuple[str, bytes]]:
    """Yield every resource of the package: definitions and large Bundles too."""
    with tarfile.open(_archive()) as tar:
        for member in tar:
            name = member.name.removeprefix("package/")
            if member.isfile() and "/" not in name and name[0].isupper() and name.endswith(".json"):
                yield name, tar.extractfile(member).read()


def _folder() -> Path:
    """Return the folder of the instances; written in one step, so that parallel test runs do not meet."""
    folder = CACHE / "r4-examples"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_archive().parent) as temporary:
            for name, text in all_files():
                if not name.startswith(DEFINITIONS) and len(text) < LARGE:
                    (Path(temporary) / name).write_bytes(text)
            try:
                shutil.copytree(temporary, f"{temporary}-whole")
                Path(f"{temporary}-whole").rename(folder)
            except OSError:
                shutil.rmtree(f"{temporary}-whole")  # another run was faster
    return folder


def _archive() -> Path:
    """Return the package, fetched with npm when it is not in the cache."""
    if not ARCHIVE.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        npm = _npm()
        if npm is None:
            _missing("npm is not installed")
        done = subprocess.run([npm, "pack", PACKAGE], cwd=CACHE, capture_output=True, text=True)
        if done.returncode:
            _missing(f"npm pack failed: {done.stderr[-300:]}")
    digest = hashlib.sha256(ARCHIVE.read_bytes()).hexdigest()
    assert digest == DIGEST, f"{ARCHIVE.name} is not the package that was reviewed"
    return ARCHIVE


def _npm() -> str | None:
    return shutil.which("npm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


def available() -> bool:
    """Return whether the package is here or can be fetched."""
    return ARCHIVE.exists() or _npm() is not None


def _missing(reason: str) -> None:
    """Skip by name, or fail in CI."""
    message = f"the R4 examples ({PACKAGE}) are not in .clarity/cache: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
