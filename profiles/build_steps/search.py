"""Search parameter rows, one per (base type, name), each reduced to the union branches that can match the base."""

from __future__ import annotations

import re
from typing import Any

from profiles.build_steps.package import Definition, Package, tail

PREFIX = "http://hl7.org/fhir/SearchParameter/"
# Examples of the specification and parameters that it gives no way to evaluate.
LEFT_OUT = {"example", "example-extension", "example-reference", "device-extensions-Device-din"}
# Errata of 4.0.1, by the id of the SearchParameter.
EXPRESSIONS = {
    "InsurancePlan-name": "InsurancePlan.name | InsurancePlan.alias",
    "patient-extensions-Patient-mothersMaidenName": (
        "Patient.extension('http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName')"
    ),
}
COMPONENTS = {  # 4.0.1 has the two definitions of this composite the wrong way round
    "DocumentReference-relationship": [
        ("relation", "code", "token"),
        ("relatesto", "target", "reference"),
    ]
}
RESOLVES = re.compile(r"\.where\(resolve\(\) is (\w+)\)$")
PLAIN = re.compile(r"\(?([A-Z]\w*(?:\.\w+)+)(?: as \w+\))?")

Types = dict[str, Any]


def compile_params(package: Package, types: Types) -> list[list[Any]]:
    """Return rows `[base, name, kind, expression, targets, components, end of url]`, sorted by base and name."""
    by_url = package.by_url("SearchParameter")
    rows = []
    for param in by_url.values():
        if param["id"] in LEFT_OUT or not param["url"].startswith(PREFIX):
            continue
        if "expression" not in param and not param["code"].startswith("_"):
            continue
        rows += [_row(base, param, by_url, types) for base in param.get("base", [])]
    return sorted(rows)


def _row(base: str, param: Definition, by_url: dict[str, Definition], types: Types) -> list[Any]:
    """Return the row of a parameter for one base type."""
    branches = _branches(EXPRESSIONS.get(param["id"]) or param.get("expression", ""), base)
    targets = _targets(branches, param.get("target", []), types) if param["type"] == "reference" else []
    components = COMPONENTS.get(param["id"]) or [_component(c, by_url) for c in param.get("component", [])]
    url = param["url"].removeprefix(PREFIX)
    return [base, param["code"], param["type"], " | ".join(branches), targets, [list(c) for c in components], url]


def _branches(expression: str, base: str) -> list[str]:
    """Return the branches of the top-level union that start at the base type."""
    own = re.compile(rf"\(*{base}\b")
    branches = [b for b in split_union(expression) if own.match(b)]
    # An extension is searched by its value.
    return [f"{b}.value" if re.search(r"extension\('[^']+'\)$", b) else b for b in branches]


def split_union(expression: str) -> list[str]:
    """Split a FHIRPath expression at the `|` that stand outside of parentheses and strings."""
    parts, depth, quoted = [""], 0, False
    for char in expression:
        quoted ^= char == "'"
        depth += 0 if quoted else (char in "([") - (char in ")]")
        if char == "|" and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _component(component: Definition, by_url: dict[str, Definition]) -> tuple[str, str, str]:
    """Return name, expression and kind of a composite's component."""
    definition = by_url[component["definition"]]
    # 4.0.1 writes the type `dateTime` as `DateTime` here.
    expression = component["expression"].replace("as(DateTime)", "as(dateTime)")
    return definition["code"], expression, definition["type"]


def _targets(branches: list[str], declared: list[str], types: Types) -> list[str]:
    """Return the types that the base's branches can refer to, at most those that the parameter declares."""
    possible: set[str] = set()
    for branch in branches:
        resolves = RESOLVES.search(branch)
        found = {resolves[1]} if resolves else _element_targets(branch, types)
        if not found:
            return sorted(declared)
        possible |= found
    return sorted(possible & set(declared) if declared else possible)


def _element_targets(branch: str, types: Types) -> set[str]:
    """Return the target types of the element that a plain path names; empty for any or unknown."""
    match = PLAIN.fullmatch(branch)
    if match is None:
        return set()
    base, *names = match[1].split(".")
    path, row = base, None
    for name in names:
        rows = types[base]["paths"].get(path, [])
        row = next((r for r in rows if r[0] in (name, f"{name}[x]")), None)
        if row is None:
            return set()
        path = f"{path}.{name}"
    assert row is not None
    return {t for type_ in row[3] if ":" in type_ for t in type_.split(":")[1].split(",")}


def compile_compartments(package: Package, params: list[list[Any]]) -> dict[str, dict[str, list[str]]]:
    """Return, by compartment and type, the names of the parameters by which a resource is in it."""
    known = {(base, name) for base, name, *_ in params}
    table: dict[str, dict[str, list[str]]] = {}
    for definition in package.by_type["CompartmentDefinition"]:
        if tail(definition["url"]) == "example":
            continue
        # `{def}` says that a resource is in its own compartment: that holds by its id, not by a parameter.
        members = {r["code"]: r["param"] for r in definition["resource"] if r.get("param", ["{def}"]) != ["{def}"]}
        missing = [(t, p) for t, names in members.items() for p in names if (t, p) not in known]
        if missing:
            raise ValueError(f"compartment {definition['code']} names parameters that do not exist: {missing}")
        table[definition["code"]] = members
    return table
