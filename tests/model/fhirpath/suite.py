"""Runs the public FHIRPath suite for R4 (FHIR/fhir-test-cases by way of HL7/fhirpath.js) against our engine."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.model.fhirpath import FhirPathError, Node, compile_path
from fhir_server.model.fhirpath.check import check
from fhir_server.model.fhirpath.datetimes import Temporal
from fhir_server.model.fhirpath.runtime import truth
from fhir_server.model.fhirpath.types import system_type, value_of


class Output(msgspec.Struct):
    """An expected item."""

    value: str
    type: str | None = None


class Case(msgspec.Struct):
    """A case as the suite writes it."""

    group: str
    name: str
    expression: str
    outputs: list[Output]
    inputfile: str | None = None
    invalid: str | None = None
    mode: str | None = None
    predicate: str | None = None
    ordered: str | None = None
    checkOrderedFunctions: str | None = None  # noqa: N815 - the suite's own name

    @property
    def id(self) -> str:
        """The name by which `exceptions.json` lists the case."""
        return f"{self.group}/{self.name}"


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that did not come out as the suite says."""

    id: str
    reason: str


def load(path: Path) -> list[Case]:
    """Return the cases of the suite."""
    cases = msgspec.json.decode((path / "cases.json").read_bytes(), type=list[Case])
    seen: dict[str, int] = {}
    for case in cases:  # one name is used twice
        seen[case.id] = seen.get(case.id, 0) + 1
        if seen[case.id] > 1:
            case.name += f"#{seen[case.id]}"
    return cases


def _input(path: Path, name: str | None) -> dict[str, Any]:
    if name is None:
        return {"resourceType": "Basic"}
    file = path / "inputs" / name.replace(".xml", ".json")
    decoder = msgspec.json.Decoder(type=dict[str, Any], float_hook=Decimal)
    return decoder.decode(file.read_bytes())


def _shown(item: Any) -> tuple[str, str]:
    """Return an item as the suite writes it: type and text."""
    value = value_of(item)
    kind = item.type if type(item) is Node else system_type(value)
    if type(value) is bool:
        return kind, "true" if value else "false"
    if type(value) is Temporal:
        return kind, f"@T{value}" if value.kind == "time" else f"@{value}"
    return kind, f"{value:f}" if type(value) is Decimal else str(value)


_SAME_TYPE = {"boolean": "Boolean", "integer": "Integer", "decimal": "Decimal", "string": "String",
              "date": "Date", "dateTime": "DateTime"}  # fmt: skip


def _same(output: Output, item: Any) -> bool:
    kind, text = _shown(item)
    if output.type is None:
        return text == output.value
    if output.type not in (kind, {v: k for k, v in _SAME_TYPE.items()}.get(kind)):
        return False
    return Decimal(text) == Decimal(output.value) if output.type == "decimal" else text == output.value


def run_case(path: Path, case: Case) -> str | None:
    """Return why a case fails, or None when it passes."""
    strict = case.mode == "strict" or case.invalid == "semantic"
    try:
        compiled = compile_path(case.expression)
        resource = _input(path, case.inputfile)
        if strict and check(case.expression, resource["resourceType"]):
            return None if case.invalid else "refused by the static check"
        items = compiled.items(resource)
    except FhirPathError as error:
        return None if case.invalid else f"refused: {error.text}"
    if case.invalid:
        return f"not refused, though invalid ({case.invalid})"
    if case.predicate == "true":
        items = [truth(items) is True]
    if len(items) != len(case.outputs):
        return f"{len(items)} items, expected {len(case.outputs)}"
    pairs = list(zip(case.outputs, items, strict=True))
    if case.ordered == "false":
        pairs = list(zip(sorted(case.outputs, key=lambda o: o.value), sorted(items, key=_shown), strict=True))
    wrong = next((item for output, item in pairs if not _same(output, item)), None)
    return None if wrong is None else f"found {_shown(wrong)}"


def run_suite(path: Path) -> tuple[int, int, list[Failure]]:
    """Return how many cases of the suite in `path` pass, how many there are, and those that fail."""
    cases = load(path)
    failures = [Failure(case.id, reason) for case in cases if (reason := run_case(path, case)) is not None]
    return len(cases) - len(failures), len(cases), failures
