"""The version is said in two places and is the same."""

import tomllib

from fhir_server.kit.version import VERSION
from fhir_server.settings import ROOT


def test_the_code_says_the_version_of_the_project() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
