"""Values of a FHIRPath Patch: from a part of Parameters to the JSON of an element, its type checked against its place.

Only some types go into `value[x]`; any other, anonymous ones such as Observation.component too, is made of parts that are named
after its elements, as deep as necessary (R4 `fhirpatch.html#anonymous`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.model.patch.values import copied
from profiles.registry import R4, JsonChild

Json = dict[str, Any]

_WIDER = {
    "dateTime": ("date", "instant"),
    "decimal": ("integer",),
    "markdown": ("string",),
    "xhtml": ("string",),
}
"""Types that take every value of another one that they do not descend from."""


class Misfit(Exception):
    """A value that cannot stand where it is wanted; the text is the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Value:
    """The JSON of one element: `raw`, and for a primitive the object beside it with its id and extensions."""

    child: JsonChild
    raw: Any
    extra: Json | None = None


def elements(path: str, name: str) -> list[JsonChild]:
    """Return the JSON properties that a name means under a path: one for each type of a choice; Misfit when there are none."""
    known = R4.json_children(path)
    found = [c for c in known.values() if c.name == name or c.element.name in (name, f"{name}[x]")]
    if not found:
        raise Misfit(f"{path} has no element of this name")
    return found


def build(part: Json, candidates: list[JsonChild]) -> Value:
    """Return what a part says, as one of the candidates; Misfit when its type is none of theirs."""
    if "part" in part:
        child = _complex(candidates)
        return Value(child, _object(part["part"], child.path_of_type))
    if "resource" in part:
        child = _fitting("Resource", candidates)
        return Value(child, copied(part["resource"]))
    name = next((name.removeprefix("_") for name in part if name.lstrip("_").startswith("value")), None)
    if name is None:
        raise Misfit("the value is missing: give value[x], a resource or parts")
    given = R4.json_children("Parameters.parameter")[name]
    child = _fitting(given.type_code, candidates)
    return Value(child, copied(part.get(name)), copied(part.get(f"_{name}")))


def _complex(candidates: list[JsonChild]) -> JsonChild:
    found = [child for child in candidates if not child.primitive and child.path_of_type != "Resource"]
    if not found:
        raise Misfit(f"a {_types(candidates)} is not made of parts")
    if len(found) > 1:
        raise Misfit("parts do not say which type of the choice is meant; write its name in full, as in valueQuantity")
    return found[0]


def _fitting(type_: str, candidates: list[JsonChild]) -> JsonChild:
    """Return the candidate of a type, else one that takes every value of it."""
    exact = [child for child in candidates if child.type_code == type_]
    wide = [child for child in candidates if _takes(child.type_code, type_)]
    if not exact and not wide:
        raise Misfit(f"expected a value of type {_types(candidates)}, not {type_}")
    return (exact or wide)[0]


def _takes(wanted: str, given: str) -> bool:
    if R4.is_a(given, wanted):
        return True
    return any(R4.is_a(given, each) for each in _WIDER.get(wanted, ()))


def _types(candidates: list[JsonChild]) -> str:
    names = [child.type_code for child in candidates]
    return " or ".join(names) if len(names) <= 6 else f"{', '.join(names[:6])} ..."


def _object(parts: list[Json], path: str) -> Json:
    """Return the object that parts describe."""
    out: Json = {}
    for part in parts:
        value = build(part, elements(path, part["name"]))
        if not append(out, value):
            raise Misfit(f"{value.child.element.name} may be given once in a {path}")
    return out


# ---- JSON properties: an array or a single value, and for primitives the `_x` beside it

Pair = tuple[Any, Any]
"""A value and what stands beside it."""


def pairs(holder: Json, key: str) -> list[Pair]:
    """Return what stands at a property, one pair for each item."""
    raw, extra = holder.get(key), holder.get(f"_{key}")
    if not isinstance(raw, list) and not isinstance(extra, list):
        return [] if raw is None and extra is None else [(raw, extra)]
    raws, extras = raw or [], extra or []
    length = max(len(raws), len(extras))
    padded = [*raws, *[None] * (length - len(raws))]
    return list(zip(padded, [*extras, *[None] * (length - len(extras))], strict=True))


def store(holder: Json, child: JsonChild, found: list[Pair]) -> None:
    """Write the pairs of a property; without any it goes away."""
    for key, column in ((child.name, [raw for raw, _ in found]), (f"_{child.name}", [extra for _, extra in found])):
        if all(each is None for each in column):
            holder.pop(key, None)
        else:
            holder[key] = column if child.element.many else column[0]


def taken(holder: Json, child: JsonChild) -> bool:
    """Tell whether an element is there, under whichever of its types."""
    name = child.element.name
    path = child.element.path.rpartition(".")[0]
    own = (each.name for each in R4.json_children(path).values() if each.element.name == name)
    return any(key in holder or f"_{key}" in holder for key in own)


def append(holder: Json, value: Value) -> bool:
    """Add a value to an object: at the end of a list, else as the only one; False when there is one already."""
    child = value.child
    if not child.element.many and taken(holder, child):
        return False
    listed = holder.get(child.name)
    if isinstance(listed, list) and value.extra is None and value.raw is not None and f"_{child.name}" not in holder:
        listed.append(value.raw)  # the same without looking at all the others
    else:
        store(holder, child, [*pairs(holder, child.name), (value.raw, value.extra)])
    return True
