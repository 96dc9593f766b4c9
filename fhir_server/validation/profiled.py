"""A resource against the snapshot of a profile: cardinality, types, targets, fixed values, patterns, bindings, invariants.

Comes after the shape (`validate.py`): what R4 itself asks of a resource is not asked again but for its invariants. Slices are not
matched: what a profile says of a slice is left out, and `unchecked` tells so. R4 profiling.html, elementdefinition.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple, Protocol

from fhir_server.errors import Issue
from fhir_server.model.fhirpath.compiled import compile_path
from fhir_server.model.fhirpath.errors import FhirPathError
from profiles.registry import R4, JsonChild

Json = dict[str, Any]
MAX_ISSUES: Final = 500
_SYSTEM: Final = "http://hl7.org/fhirpath/"
CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
_BY_SHAPE: Final = frozenset({"ele-1"})
"""Invariants that nothing of a right shape can break."""
_CODED: Final = frozenset({"code", "Coding", "CodeableConcept", "Quantity"})


class Members(Protocol):
    """Which codes a value set has: (system, code), and systems of which it has every one; `terminology` makes them."""

    @property
    def codes(self) -> frozenset[tuple[str, str]]:
        """The codes."""

    @property
    def systems(self) -> frozenset[str]:
        """The systems."""


class Found(NamedTuple):
    """One value of an element: under which JSON property, and where; None for a primitive that has extensions only."""

    child: JsonChild
    value: Any
    where: str


@dataclass(slots=True)
class Profile:
    """A StructureDefinition with a snapshot, its elements by the path above them; slices are put aside."""

    url: str
    type: str
    root: Json
    children: dict[str, list[Json]] = field(default_factory=dict)
    unchecked: bool = False
    """It has slices, or says nothing that could be checked of some value sets."""

    @property
    def bindings(self) -> set[str]:
        """Return the value sets, beyond those that R4 requires itself, in which codes have to be."""
        bound = [each.get("binding", {}) for below in self.children.values() for each in below]
        wanted = {each["valueSet"] for each in bound if each.get("strength") == "required" and "valueSet" in each}
        return {url for url in wanted if R4.codes(url.partition("|")[0]) is None}


def profile(structure: Mapping[str, Any]) -> Profile:
    """Return a profile as it is read here."""
    root, *elements = structure["snapshot"]["element"]
    made = Profile(structure["url"], structure["type"], root)
    for element in elements:
        if ":" in element.get("id", element["path"]) or "sliceName" in element:
            made.unchecked = True
        else:
            made.children.setdefault(element["path"].rpartition(".")[0], []).append(element)
    return made


def check(resource: Json, of: Profile, codes: Mapping[str, Members | None]) -> list[Issue]:
    """Return what of a resource of a right shape is against a profile; `codes` has the members of its value sets."""
    walk = _Walk(of, codes, resource)
    found = (*walk.rules(of.root, resource, of.type, of.type), *walk.below(resource, of.type, of.type, of.type))
    return list(islice(found, MAX_ISSUES))


@dataclass(frozen=True, slots=True)
class _Walk:
    of: Profile
    codes: Mapping[str, Members | None]
    resource: Json

    def below(self, value: Json, path: str, base: str, where: str) -> Iterator[Issue]:
        """Yield the issues of the elements under one object; `path` is the profile's, `base` the path of R4."""
        properties = R4.json_children(base)
        for element in self.of.children.get(path, ()):
            name = element["path"].rpartition(".")[2]
            children = [each for each in properties.values() if name in (each.element.name, each.name)]
            found = [each for child in children for each in _values(value, child, where)]
            yield from _count(element, len(found), f"{where}.{name.removesuffix('[x]')}")
            for each in found:
                yield from self._one(element, each)

    def _one(self, element: Json, found: Found) -> Iterator[Issue]:
        yield from _type(element, found)
        if found.value is None:
            return
        yield from _fixed(element, found)
        yield from self._bound(element, found)
        yield from self.rules(element, found.value, found.child.path_of_type, found.where)
        if isinstance(found.value, dict):
            path = element.get("contentReference", f"#{element['path']}").rpartition("#")[2]
            yield from self.below(found.value, path, found.child.path_of_type, found.where)

    def _bound(self, element: Json, found: Found) -> Iterator[Issue]:
        binding = element.get("binding", {})
        members = self.codes.get(binding.get("valueSet", ""))
        if binding.get("strength") != "required" or members is None or found.child.type_code not in _CODED:
            return
        value = found.value
        if isinstance(value, str):
            inside = any(code == value for _, code in members.codes)
        else:
            codings = value.get("coding", []) if found.child.type_code == "CodeableConcept" else [value]
            pairs = [(each.get("system", ""), each.get("code", "")) for each in codings]
            inside = any(pair in members.codes or pair[0] in members.systems for pair in pairs)
        if not inside:
            text = f"The profile asks for a code of {binding['valueSet']}."
            yield Issue("code-invalid", "profile-code", text, found.where)

    def rules(self, element: Json, value: Any, base: str, where: str) -> Iterator[Issue]:
        """Yield the invariants that one value breaks."""
        for rule in element.get("constraint", ()):
            if rule["key"] in _BY_SHAPE or rule.get("severity") != "error" or "expression" not in rule:
                continue
            try:
                compiled = compile_path(rule["expression"], base)
                kept = compiled.holds(value, resource=self.resource, rootResource=self.resource)
            except FhirPathError:
                text = f"The invariant {rule['key']} of the profile cannot be evaluated here."
                yield Issue("not-supported", "profile-invariant-unknown", text, where, "warning")
                continue
            if not kept:
                yield Issue("invariant", "profile-invariant", f"{rule['key']}: {rule['human']}", where)


def _values(value: Json, child: JsonChild, where: str) -> Iterator[Found]:
    """Yield the values of one JSON property, those that have only extensions as None."""
    plain, beside = value.get(child.name), value.get(f"_{child.name}") if child.primitive else None
    name = child.element.name.removesuffix("[x]")
    if not child.element.many:
        if plain is not None or beside is not None:
            yield Found(child, plain, f"{where}.{name}")
        return
    for i in range(max(len(plain or ()), len(beside or ()))):
        yield Found(child, plain[i] if plain and i < len(plain) else None, f"{where}.{name}[{i}]")


def _count(element: Json, count: int, where: str) -> Iterator[Issue]:
    least, most = element.get("min", 0), element.get("max", "*")
    if count < least:
        yield Issue("required", "profile-required", f"The profile asks for {least} at least; there are {count}.", where)
    elif most.isdecimal() and count > int(most):
        yield Issue("structure", "profile-cardinality", f"The profile allows {most} at most; there are {count}.", where)


def _type(element: Json, found: Found) -> Iterator[Issue]:
    """Yield the issue of a type, or of a target, that the profile does not allow."""
    types = [each for each in element.get("type", ()) if not each["code"].startswith(_SYSTEM)]
    fitting = [each for each in types if each["code"] == found.child.type_code]
    if types and not fitting:
        names = ", ".join(each["code"] for each in types)
        yield Issue("structure", "profile-type", f"The profile allows {names} here.", found.where)
    elif fitting and found.child.type_code == "Reference" and isinstance(found.value, dict):
        targets = [each.removeprefix(CORE) for ref in fitting for each in ref.get("targetProfile", ())]
        type_ = found.value.get("reference", "").rpartition("/")[0].rpartition("/")[2]
        if targets and R4.is_type(type_) and all(map(R4.is_type, targets)) and type_ not in targets:
            text = f"The profile allows references to {', '.join(sorted(set(targets)))}."
            yield Issue("structure", "profile-target", text, f"{found.where}.reference")


def _fixed(element: Json, found: Found) -> Iterator[Issue]:
    """Yield the issue of a value that is not the fixed one, or does not have what a pattern asks for."""
    for name, wanted in element.items():
        if name.startswith("fixed") and found.value != wanted:
            yield Issue("value", "profile-fixed", "The profile fixes this value.", found.where)
        elif name.startswith("pattern") and not _has(found.value, wanted):
            yield Issue("value", "profile-pattern", "This lacks what the profile's pattern asks for.", found.where)


def _has(value: Any, wanted: Any) -> bool:
    """Tell whether a value has all of a pattern: every property, and of a list something for each of its items."""
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            name in value and _has(value[name], each) for name, each in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(_has(item, each) for item in value) for each in wanted)
    return bool(value == wanted)
