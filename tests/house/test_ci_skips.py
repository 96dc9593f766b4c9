"""A skip is a skip on a desk and a failure in CI."""

import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.settings import environment
from tests.house.tree import ROOT

SKIPS = """
import pytest
def test_a(): pytest.skip("no data")
@pytest.mark.xfail
def test_b(): assert False
"""


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skip(tmp_path: Path, ci: str, code: int) -> None:
    (tmp_path / "test_it.py").write_text(SKIPS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.ci_skips", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(CI=ci, PYTHONPATH=str(ROOT)), capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout
    assert ("nothing may be skipped" in done.stdout) == bool(code)
