"""Code lists of the value sets that R4 binds as required, by code system, and the operations."""

from __future__ import annotations

from typing import Any

from profiles.build_steps.package import Definition, Package

Expansion = dict[str, list[str]]


def compile_codes(package: Package, types: dict[str, Any]) -> dict[str, Expansion]:
    """Return the expansions of all required bindings whose members the package itself enumerates."""
    value_sets, systems = package.by_url("ValueSet"), package.by_url("CodeSystem")
    table = {}
    for url in sorted(_required(types)):
        expansion = _expand(value_sets[url], systems) if url in value_sets else None
        if expansion is not None:
            table[url] = expansion
    return table


def _required(types: dict[str, Any]) -> set[str]:
    """Return the URLs of all value sets that are bound as required."""
    rows = (row for type_ in types.values() for rows in type_["paths"].values() for row in rows)
    bindings = (row[6].split(" ") for row in rows if len(row) > 6)
    return {url for strength, url in bindings if strength == "required"}


def _expand(value_set: Definition, systems: dict[str, Definition]) -> Expansion | None:
    """Return the codes of a value set by system, or None where the package does not enumerate them (BCP-13, UCUM)."""
    expansion: Expansion = {}
    if "exclude" in value_set["compose"]:
        return None
    for include in value_set["compose"]["include"]:
        codes = _include(include, systems)
        if codes is None:
            return None
        expansion.setdefault(include["system"], []).extend(codes)
    return expansion


def _include(include: Definition, systems: dict[str, Definition]) -> list[str] | None:
    """Return the codes of one include: its concepts, or the whole of a complete code system."""
    if "filter" in include or "valueSet" in include:
        return None
    if "concept" in include:
        return [concept["code"] for concept in include["concept"]]
    system = systems.get(include["system"])
    if system is None or system.get("content") != "complete":
        return None
    return _flatten(system["concept"])


def _flatten(concepts: list[Definition]) -> list[str]:
    """Return the codes of a concept tree, parents first."""
    codes = []
    for concept in concepts:
        codes += [concept["code"], *_flatten(concept.get("concept", []))]
    return codes


def compile_operations(package: Package) -> list[dict[str, Any]]:
    """Return the operations of R4 with their parameters."""
    operations = [d for d in package.by_type["OperationDefinition"] if d["id"] != "example"]
    return [_operation(definition) for definition in operations]


def _operation(definition: Definition) -> dict[str, Any]:
    """Return one operation: where it may be called, and `[name, use, min, max, type]` of each parameter."""
    return {
        "code": definition["code"],
        "url": definition["url"],
        "resource": definition.get("resource", []),
        "system": definition["system"],
        "type": definition["type"],
        "instance": definition["instance"],
        "parameters": [_parameter(p) for p in definition.get("parameter", [])],
    }


def _parameter(parameter: Definition) -> list[Any]:
    """Return one operation parameter as a row."""
    maximum = None if parameter["max"] == "*" else int(parameter["max"])
    return [parameter["name"], parameter["use"], parameter["min"], maximum, parameter.get("type", "")]
