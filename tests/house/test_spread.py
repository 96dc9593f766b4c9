"""How the tests are spread over processes: every test once, long ones first, rooms that share an instance whole."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from fhir_server.settings import environment
from tests import spread
from tests.house.tree import ROOT


def test_what_is_named_is_there() -> None:
    assert [name for name in spread.LONG + spread.TOGETHER if not (ROOT / name).exists()] == []
    assert set(spread.TOGETHER) <= set(spread.LONG)


def test_a_unit_is_a_file_or_a_room() -> None:
    assert spread.unit("tests/http/test_read.py::test_a[x::y]") == "tests/http/test_read.py"
    assert spread.unit("tests/apps/test_twin.py::test_a") == "tests/apps/"


def test_long_ones_come_first_and_nothing_else_changes_place() -> None:
    names = [
        "tests/a.py::one", "tests/apps/test_b.py::two", "tests/apps/test_b.py::one", "tests/fire/test_main_job.py::one",
        "tests/apps/test_c.py::one", "tests/z.py::one", "tests/z.py::two",
    ]  # fmt: skip
    items = [SimpleNamespace(nodeid=name) for name in names]
    spread.ordered(items)  # type: ignore[arg-type]
    assert [names.index(item.nodeid) for item in items] == [1, 2, 4, 3, 5, 6, 0]


def test_two_processes_run_everything_once(tmp_path: Path) -> None:
    (tmp_path / "tests" / "apps").mkdir(parents=True)
    record = "import os, pathlib\nimport pytest\n\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n):\n"
    record += "    with open('ran', 'a') as file:\n"
    record += "        file.write(f\"{os.environ['PYTEST_XDIST_WORKER']} {pathlib.Path(__file__).stem}\\n\")\n"
    for name in ("test_a", "test_b", "apps/test_c", "apps/test_d"):
        (tmp_path / "tests" / f"{name}.py").write_text(record)
    command = [sys.executable, "-m", "pytest", "-p", "tests.spread", "-n", "2", "--dist", "loadfile", "tests"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ran = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    assert sorted(name for _, name in ran) == sorted(["test_a", "test_b", "test_c", "test_d"] * 4)
    workers = {name: {worker for worker, each in ran if each == name} for _, name in ran}
    assert all(len(those) == 1 for those in workers.values())
    assert workers["test_c"] == workers["test_d"]
