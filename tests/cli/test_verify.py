"""`./clarity test`: what failed beside others is looked at once more, alone, and nothing else is forgiven."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fhir_server.cli import verify
from fhir_server.settings import ROOT, environment


def ran(monkeypatch: pytest.MonkeyPatch, failed: Sequence[str], codes: Sequence[int]) -> list[list[str]]:
    """Have pytest end with these codes, the first time with these failures; return the arguments of each run."""
    asked: list[list[str]] = []

    def run(args: Sequence[str], target: Path | None) -> int:
        asked.append(list(args))
        if target is not None:
            target.write_text("\n".join(failed), "utf-8")
        return codes[len(asked) - 1]

    monkeypatch.setattr(verify, "_run", run)
    return asked


def test_what_passes_alone_each_time_is_named_as_unsteady(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ran(monkeypatch, ["a.py::one", "b.py::two"], [1, 0, 0, 0])
    outcome = verify._pytest([], every=False)
    assert (outcome.code, outcome.note) == (0, "unsteady: a.py::one, b.py::two")
    assert asked[1:] == [["a.py::one", "b.py::two", "-n", "0"]] * 3


@pytest.mark.parametrize(
    ("failed", "codes"),
    [
        (["a.py::one"], [1, 0, 1]),
        (["a.py::one"], [1, 2]),
        (["a", "b", "c", "d"], [1]),
        ([], [1]),
        (["a.py::one"], [2]),
        (["a.py::one"], [3]),
        (["a.py::one"], [-9]),
    ],
)
def test_a_fault_stays_a_fault(monkeypatch: pytest.MonkeyPatch, failed: list[str], codes: list[int]) -> None:
    asked = ran(monkeypatch, failed, codes)
    outcome = verify._pytest([], every=False)
    assert (outcome.code, outcome.note) == (codes[-1], "")
    assert len(asked) == len(codes)


def test_who_names_tests_sees_them_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    ran(monkeypatch, ["a.py::one"], [1])
    assert verify._pytest(["a.py"], every=False).code == 1


@pytest.mark.parametrize("more", [["-n", "0"], ["-n", "2"]])
def test_failures_are_written_down_by_name(tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "test_some.py").write_text(
        "import pytest\n\n@pytest.fixture\ndef broken():\n    raise ValueError\n\n"
        "def test_good(): pass\ndef test_bad(): assert 0\ndef test_late(broken): pass\n"
    )
    names = tmp_path / "failed"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.failed_names", "-p", "no:cacheprovider", *more]
    command += ["--rootdir", str(tmp_path), str(tmp_path / "test_some.py")]
    env = environment(PYTHONPATH=str(ROOT), CLARITY_FAILED_TESTS=str(names))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, env=env)
    assert done.returncode == 1, done.stdout
    found = {name.rpartition("::")[2] for name in names.read_text().splitlines()}
    assert found == {"test_bad", "test_late"}
    names.unlink()
    (tmp_path / "test_other.py").write_text("import nothing_of_this_name\n")
    subprocess.run([*command, str(tmp_path / "test_other.py")], cwd=tmp_path, capture_output=True, check=False, env=env)
    assert not names.exists(), "what cannot be collected is no disturbance"
