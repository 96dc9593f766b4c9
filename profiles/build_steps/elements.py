"""Element rows: `[name, min, max, types, flags, invariants, binding]`, trailing defaults left out.

A type is written as `code`, `code:target,target` for references, `code=profile` for SimpleQuantity and MoneyQuantity,
and `@path` for a contentReference. `max` null is `*`; flags are 1 summary, 2 modifier.
Rows of a type that its base type has already are left out: the registry puts them back.
"""

from __future__ import annotations

from typing import Any

from profiles.build_steps.package import Definition, Package, tail

INHERITED_IN_BACKBONES = {"Element.id", "Element.extension", "BackboneElement.modifierExtension"}
# 4.0.1 gives the JSON types of these in extensions, and Resource.id as a string although it has the grammar of `id`.
SYSTEM_TYPES = {"Resource.id": "id", "Extension.url": "uri"}

Row = list[Any]


def compile_elements(package: Package) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the table of types and the table of invariants by key."""
    invariants = Invariants()
    table = {}
    for name, definition in sorted(package.types().items()):
        base = tail(definition["baseDefinition"]) if "baseDefinition" in definition else ""
        table[name] = {
            "kind": definition["kind"].removesuffix("-type"),
            "base": base,
            "abstract": definition["abstract"],
            "invariants": invariants.keys(name, definition["snapshot"]["element"][0]),
            "paths": _paths(name, base, definition, invariants) if definition["kind"] != "primitive-type" else {},
        }
    return table, invariants.table


def _paths(name: str, base: str, definition: Definition, invariants: Invariants) -> dict[str, list[Row]]:
    """Return the rows under each path of a type: the type itself and its backbone elements."""
    paths: dict[str, list[Row]] = {name: []}
    for element in definition["snapshot"]["element"][1:]:
        parent, own = element["path"].rsplit(".", 1)
        inherited = element["base"]["path"]
        if parent == name and base and not inherited.startswith(name + "."):
            continue
        if parent != name and inherited in INHERITED_IN_BACKBONES:
            continue
        paths.setdefault(parent, []).append(_row(own, element, invariants))
    return paths


def _row(name: str, element: Definition, invariants: Invariants) -> Row:
    """Return one element as a row without trailing defaults."""
    flags = element.get("isSummary", False) * 1 + element.get("isModifier", False) * 2
    maximum = None if element["max"] == "*" else int(element["max"])
    row: Row = [name, element["min"], maximum, _types(element), flags, invariants.keys(element["path"], element)]
    if "valueSet" in element.get("binding", {}):
        row.append(f"{element['binding']['strength']} {element['binding']['valueSet'].split('|')[0]}")
    while not row[-1]:
        row.pop()
    return row


def _types(element: Definition) -> list[str]:
    """Return the types of an element in the notation of the table."""
    if "contentReference" in element:
        return ["@" + element["contentReference"].removeprefix("#")]
    return [_type(element["path"], type_) for type_ in element["type"]]


def _type(path: str, type_: Definition) -> str:
    """Return one type with its targets or its profile."""
    code: str = type_["code"]
    if code.startswith("http://hl7.org/fhirpath/"):
        return SYSTEM_TYPES.get(path, "string")
    targets = [tail(url) for url in type_.get("targetProfile", [])]
    if targets and targets != ["Resource"]:
        return f"{code}:{','.join(targets)}"
    profiles = [tail(url) for url in type_.get("profile", [])]
    return f"{code}={profiles[0]}" if profiles and code == "Quantity" else code


class Invariants:
    """Collects invariants; a key that 4.0.1 uses twice (`inv-1`) is kept as `key@path`."""

    def __init__(self) -> None:
        self.table: dict[str, list[str]] = {}

    def keys(self, path: str, element: Definition) -> list[str]:
        """Return the keys that an element brings itself: not `ele-1`, which holds everywhere, nor its type's."""
        own = []
        for constraint in element.get("constraint", []):
            source = tail(constraint.get("source", ""))
            if constraint["key"] == "ele-1" or "expression" not in constraint:
                continue
            if source and source != path.split(".", 1)[0]:
                continue
            own.append(self._key(path, constraint))
        return own

    def _key(self, path: str, constraint: Definition) -> str:
        """Enter a constraint into the table and return the key it has there."""
        value = [constraint["expression"], constraint["severity"], constraint["human"]]
        key: str = constraint["key"]
        if self.table.setdefault(key, value) != value:
            key = f"{key}@{path}"
            self.table[key] = value
        return key
