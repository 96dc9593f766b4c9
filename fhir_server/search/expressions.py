"""What a search parameter's expression can give, read from the element tables without running it.

Only the forms that R4's search parameters use are understood; for anything else the answer is "unknown", which costs speed, never
correctness: an unknown term is always evaluated and never shared with another parameter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from profiles.registry import R4, Binding

_CAST = re.compile(r"\(([^()]+) as (\w+)\)")
_AS = re.compile(r"\.as\((\w+)\)")
_RESOLVES = re.compile(r"(.+)\.where\(resolve\(\) is (\w+)\)")
_STEP = re.compile(r"(\w+)(?:\[\d+\])?|(\w+)\(.*\)")
_TYPE_STEPS = frozenset({"ofType"})
_SAME_STEPS = frozenset({"where"})

LEAVES = {
    "HumanName": ("family", "given", "prefix", "suffix", "text"),
    "Address": ("line", "city", "district", "state", "postalCode", "country", "text"),
}
"""The fields of the two complex types that string parameters search: each part is a field of its own (R4 search.html#string)."""


@dataclass(frozen=True, slots=True)
class Term:
    """One branch of a parameter's expression.

    `first` is the element below the resource that it begins with, "" when that is unknown; `types` the FHIR types that it can
    give, empty when unknown; `many` whether one resource can give several values; `bindings` the value sets of `code` elements.
    """

    expression: str
    first: str = ""
    types: frozenset[str] = frozenset()
    many: bool = True
    bindings: frozenset[str] = frozenset()


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a one-character separator that stands outside of parentheses and quotes."""
    parts, depth, quoted = [""], 0, False
    for char in text:
        quoted ^= char == "'"
        depth += 0 if quoted else (char == "(") - (char == ")")
        if char == separator and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def normalise(expression: str) -> str:
    """Write the three forms of a type filter in one: `(X as T)` and `X.as(T)` become `X.ofType(T)`."""
    return _AS.sub(r".ofType(\1)", _CAST.sub(r"\1.ofType(\2)", expression.strip()))


def resolves(expression: str) -> tuple[str, str] | None:
    """Return (E, T) of `E.where(resolve() is T)`."""
    match = _RESOLVES.fullmatch(expression)
    return (match[1], match[2]) if match else None


@dataclass(slots=True)
class _Walk:
    """Where a walk along an expression is: JSON paths below which it looks, and the types of what it stands on."""

    paths: list[str]
    types: frozenset[str]
    bindings: frozenset[Binding]
    many: bool = False

    def into(self, name: str) -> bool:
        """Step into an element; False when the tables do not know it."""
        names = (name, f"{name}[x]")
        children = [
            child for path in self.paths for child in R4.json_children(path).values() if child.element.name in names
        ]
        if not children:
            return False
        self.many |= any(child.element.max != 1 for child in children)
        self.paths = [child.path_of_type for child in children]
        self.types = frozenset(child.type_code for child in children)
        self.bindings = frozenset(child.element.binding for child in children if child.element.binding)
        return True

    def narrow(self, type_: str) -> None:
        """Keep what is of a type."""
        self.paths = [type_] if type_ in self.types else []
        self.types = frozenset({type_}) & self.types


def _walk(steps: list[str]) -> _Walk | None:
    walk = _Walk([steps[0]], frozenset({steps[0]}), frozenset())
    for step in steps[1:]:
        match = _STEP.fullmatch(step)
        if match is None:
            return None
        if match[1]:
            if "[" in step or not walk.into(match[1]):
                return None
        elif match[2] in _TYPE_STEPS:
            walk.narrow(step[len("ofType(") : -1])
        elif match[2] not in _SAME_STEPS:
            return None
    return walk


@cache
def term(expression: str, base: str) -> Term:
    """Return what is known of one branch; `expression` is normalised and begins with `base`."""
    steps = split_outside(expression, ".")
    if steps[0] != base or len(steps) == 1:
        return Term(expression)
    if steps[1].startswith("extension("):
        return Term(expression, "extension")
    walk = _walk(steps)
    if walk is None or not walk.types:
        return Term(expression)
    bindings = frozenset(b.valueset for b in walk.bindings if b.strength == "required")
    return Term(expression, steps[1], walk.types, walk.many, bindings)


def terms(expression: str, base: str, kind: str) -> frozenset[Term]:
    """Return the branches of an expression; those of a string parameter over HumanName or Address field by field."""
    out = set()
    for part in split_outside(normalise(expression), "|"):
        whole = term(part, base)
        leaves = LEAVES.get(next(iter(whole.types))) if kind == "string" and len(whole.types) == 1 else None
        out |= {term(f"{part}.{leaf}", base) for leaf in leaves} if leaves else {whole}
    return frozenset(out)
