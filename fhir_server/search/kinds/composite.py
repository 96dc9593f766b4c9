"""Composite: several values of the same instance, joined by `$` (R4 search.html#combining).

On the resource itself a composite is the AND of its components, but for token$quantity: there the quantity's own rows stand under
the key of the code (`parameters.Table.keyed`). An element below it (`Observation.component`) has entries:

| components | entry |
|---|---|
| token$quantity | a row of numbers under the key of the code |
| token$number$number | such a row, the first number as `lo`, the second as `hi` |
| token$token, token$reference | one key of both |

Entries know codes without their systems. A system that the query names is asked of the component's own parameter, which says it of
the resource, not of the instance; only where a resource has one code in two systems is that not the same. Such resources hold a
key that says so, and are looked into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from fhir_server.model.fhirpath.extract import Extractor, extractor
from fhir_server.search.escape import split
from fhir_server.search.kinds import date, number, quantity, reference, string, token
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.parameters import Instances, Part
from fhir_server.search.predicates import EVERYTHING, NOTHING, Keys, Match, Predicate, Rows, all_of, any_of, keys
from profiles.registry import SearchParam

PartValue = token.Token | quantity.Quantity | number.Number | string.Text | date.Date | reference.Reference


@dataclass(frozen=True, slots=True)
class Composite:
    """One value for each component."""

    parts: tuple[PartValue, ...]


_PARSERS: Mapping[str, Callable[[str], PartValue]] = {
    "token": token.parse,
    "quantity": quantity.parse,
    "number": number.parse,
    "date": date.parse,
    "string": lambda text: string.parse(text, None),
    "reference": lambda text: reference.parse(text, (), None, ""),
}


def parse(text: str, param: SearchParam) -> Composite:
    """Read a composite; ValueError says what is wrong."""
    parts = split(text, "$")
    form = "$".join(component.name for component in param.components)
    if len(parts) != len(param.components) or not all(parts):
        raise ValueError(f"is {form}; write a $ that belongs to a value as \\$")
    return Composite(
        tuple(_PARSERS[component.kind](part) for component, part in zip(param.components, parts, strict=True))
    )


# ---- what an instance holds ----


def finder(part: Part, base: str) -> Extractor:
    """Return the extractor of a component, from the instance."""
    return extractor(" | ".join(part.expressions), base)


def found_in(instances: Instances, resource: dict[str, Any]) -> list[list[Pairs]]:
    """Return, for each instance in a resource, what each component finds there."""
    type_ = resource["resourceType"]
    return [
        [finder(part, label)(raw, resource) for part in instances.parts]
        for label, raw in extractor(instances.term.expression, type_)(resource)
    ]


def form(instances: Instances) -> tuple[str, ...]:
    """Return the kinds of the components."""
    return tuple(part.kind for part in instances.parts)


# ---- rows ----


def _names(kind: str, pairs: Pairs, base: str) -> list[str]:
    """Return the texts by which a component stands in a key: codes without system, references as they are written."""
    if kind == "token":
        return [code.casefold() for _, code in token.held(pairs) if code is not None]
    return [name for name in (reference.name_of(value, base) for _, value in pairs) if name is not None]


def _ambiguous(found: list[list[Pairs]], parts: tuple[Part, ...]) -> bool:
    """Tell whether one code stands in two systems among the instances."""
    for position, part in enumerate(parts):
        if part.kind == "token":
            pairs = {
                (code.casefold(), system)
                for instance in found
                for system, code in token.held(instance[position])
                if code
            }
            if len({code for code, _ in pairs}) < len(pairs):
                return True
    return False


def _numbered(entries: Entries, param: int, kinds: tuple[str, ...], instance: list[Pairs]) -> None:
    for name in _names("token", instance[0], entries.base):
        key = entries.key(param, "c", name)
        if kinds[1] == "quantity":
            quantity.rows(entries, param, instance[1], key)
        else:
            spans = product(number.spans(instance[1]), number.spans(instance[2]))
            entries.numbers.extend((param, key, first[0], second[0], 0, 0, None, None) for first, second in spans)


def put_under(entries: Entries, param: int, codes: Pairs) -> None:
    """Put the rows of a quantity of the resource under the codes that the resource has; without any they stay as they are."""
    names = set(_names("token", codes, entries.base))
    if names and any(row[0] == param for row in entries.numbers):
        found = [entries.key(param, "c", name) for name in sorted(names)]
        own = [(param, key, *row[2:]) for row in entries.numbers if row[0] == param for key in found]
        entries.numbers = [row for row in entries.numbers if row[0] != param] + own


def rows(entries: Entries, instances: Instances, found: list[list[Pairs]]) -> None:
    """Add the entries of the instances found."""
    param, kinds = instances.param.id, form(instances)
    for instance in found:
        if "quantity" in kinds or "number" in kinds:
            _numbered(entries, param, kinds, instance)
        else:
            names = [_names(kind, pairs, entries.base) for kind, pairs in zip(kinds, instance, strict=True)]
            entries.keys.update(entries.key(param, "cc", *both) for both in product(*names))
    if len(found) > 1 and _ambiguous(found, instances.parts):
        entries.keys.add(entries.key(param, "two"))


# ---- predicate ----


def _number_rows(param: int, instance: int, first: number.Number, second: number.Number) -> Predicate:
    lo, lo_values = number.point(first, "lo")
    hi, hi_values = number.point(second, "hi")
    return Rows("ix_number", f"param = {param} AND key = {{}} AND {lo} AND {hi}", (instance, *lo_values, *hi_values))


def _joined(value: Composite, instances: Instances, key: KeyFunction) -> Predicate:
    """Return the condition that an instance has a key of all components."""
    names: list[list[str]] = []
    for part in value.parts:
        if isinstance(part, token.Token):
            names.append([(part.code or "").casefold()])
        else:
            assert isinstance(part, reference.Reference)
            names.append(reference.texts(part))
    return keys([key(instances.param.id, "cc", *both) for both in product(*names)])


def _on_instances(value: Composite, instances: Instances, key: KeyFunction) -> Predicate:
    first, *others = value.parts
    if isinstance(first, token.Token) and isinstance(others[0], quantity.Quantity):
        instance = key(instances.param.id, "c", (first.code or "").casefold())
        return quantity.predicate(others[0], instances.param.id, key, instance)
    if isinstance(first, token.Token) and isinstance(others[0], number.Number):
        instance = key(instances.param.id, "c", (first.code or "").casefold())
        assert isinstance(others[1], number.Number)
        return _number_rows(instances.param.id, instance, others[0], others[1])
    return _joined(value, instances, key)


def on_resource(value: Composite, sources: Iterable[int], key: KeyFunction, own: Predicate) -> Match | None:
    """Return the condition that a quantity among `sources`, whose rows stand under codes, compares so under a composite's code.

    `own` says the code of the resource as a whole; it is asked only where the query names a system. None for other composites.
    """
    first, second = value.parts
    if not isinstance(first, token.Token) or first.code is None or not isinstance(second, quantity.Quantity):
        return None
    name = first.code.casefold()
    found = any_of([quantity.predicate(second, each, key, key(each, "c", name)) for each in sources])
    parts = [found] if first.system is None else [found, own]
    return Match(all_of(parts), EVERYTHING if quantity.verified(second) else NOTHING)


PartPredicate = Callable[[Part, PartValue], Predicate]
"""The condition that the resource as a whole has a component's value, in any of the instances."""


def predicate(value: Composite, instances: Instances, key: KeyFunction, own: PartPredicate) -> Match:
    """Return the condition that one instance holds all the values."""
    pairs = list(zip(instances.parts, value.parts, strict=True))
    tokens = [(part, found) for part, found in pairs if isinstance(found, token.Token)]
    if any(found.code is None for _, found in tokens):
        return Match(all_of([own(part, found) for part, found in pairs]), EVERYTHING)
    systems = [own(part, found) for part, found in tokens if found.system is not None]
    doubt: Predicate = Keys((key(instances.param.id, "two"),)) if systems else NOTHING
    if any(isinstance(part, quantity.Quantity) and quantity.verified(part) for part in value.parts):
        doubt = EVERYTHING
    return Match(all_of([_on_instances(value, instances, key), *systems]), doubt)


# ---- in memory ----


def _accepts(value: PartValue, pairs: Pairs) -> bool:
    if isinstance(value, token.Token):
        return token.accepts(value, pairs)
    if isinstance(value, quantity.Quantity):
        return quantity.accepts(value, pairs)
    if isinstance(value, string.Text):
        return string.accepts(value, pairs)
    if isinstance(value, number.Number):
        return number.accepts(value, pairs)
    if isinstance(value, date.Date):
        return date.accepts(value, pairs)
    return reference.accepts(value, pairs)


def accepts(value: Composite, instance: list[Pairs]) -> bool:
    """Tell whether one instance holds all the values."""
    return all(_accepts(part, pairs) for part, pairs in zip(value.parts, instance, strict=True))
