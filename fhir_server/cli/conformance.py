"""`conformance`: the public suites of `../shared/data`, with how many cases pass and which are excepted, by name.

A suite is run by a module `tests/<room>/suite.py` that has `SUITES`: the suite's name to a function that returns
`{"passed": int, "total": int, "exceptions": {case: reason}}`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, fail, print_json, results
from fhir_server.settings import ROOT

NOT_BUILT = "not built"
PUBLIC = (
    "fhirpath-r4",
    "sql-on-fhir",
    "patch",
    "validator",
    "terminology",
    "search-smoke",
    "us-core",
    "ieee-11073-phd",
    "open-mhealth",
    "actigraphy-reference",
)
Suite = Annotated[str | None, typer.Argument(help=f"One of: {', '.join(PUBLIC)}; all when not given.")]
Runner = Callable[[], dict[str, Any]]


def conformance(*, suite: Suite = None, as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """Run the public suites and print how many cases pass."""
    _ = data, port  # every command takes them; the suites need no running instance
    runners = find_runners()
    if suite is not None and suite not in PUBLIC and suite not in runners:
        fail(f"There is no suite {suite!r}: choose one of {', '.join(PUBLIC)}.", code=2)
    wanted = [suite] if suite else [*PUBLIC, *(name for name in runners if name not in PUBLIC)]
    found = {name: runners[name]() if name in runners else NOT_BUILT for name in wanted}
    if as_json:
        print_json(found)
    else:
        _show(found)
    if any(_fails(result) for result in found.values()):
        raise typer.Exit(1)


def find_runners() -> dict[str, Runner]:
    """Return the suites that have a runner."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    found: dict[str, Runner] = {}
    for path in sorted(ROOT.glob("tests/*/suite.py")):
        found.update(importlib.import_module(f"tests.{path.parent.name}.suite").SUITES)
    return found


def _fails(result: dict[str, Any] | str) -> bool:
    """Tell whether cases fail that are not excepted by name."""
    return isinstance(result, dict) and result["passed"] + len(result["exceptions"]) < result["total"]


def _show(found: dict[str, Any]) -> None:
    table = Table("suite", "passed", "total", "exceptions")
    for name, result in found.items():
        if isinstance(result, str):
            table.add_row(name, result, "", "")
        else:
            table.add_row(name, str(result["passed"]), str(result["total"]), str(len(result["exceptions"])))
    results.print(table)
