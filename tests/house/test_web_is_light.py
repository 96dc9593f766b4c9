"""Whatever a web process may import, it has no framework of machine learning in it."""

from __future__ import annotations

import subprocess
import sys

from fhir_server.settings import environment
from tests.house.tree import ROOT

HEAVY = ("torch", "xgboost", "onnxruntime", "sklearn", "h5py", "onnx")
EVERYTHING = f"""
import importlib, sys
from pathlib import Path
files = [path.with_suffix("") for path in Path("fhir_server").rglob("*.py") if path.name != "__init__.py"]
names = [".".join(path.parts) for path in files]
web = [n for n in names if not n.startswith(("fhir_server.cli", "fhir_server.__main__"))] + ["fhir_server.cli.web"]
for name in web:
    importlib.import_module(name)
print(len(web), *sorted(set({HEAVY!r}) & set(sys.modules)))
"""


def test_no_module_of_a_web_process_loads_a_framework() -> None:
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING], cwd=ROOT, env=environment(), capture_output=True, text=True, check=True
    )
    count, *found = done.stdout.split()
    assert int(count) > 200
    assert not found
