"""Reference: by id, Type/id, URL, canonical, or the identifier of a logical reference (R4 search.html#reference).

| in the resource | entries |
|---|---|
| `Type/id`, with or without version | the number of that resource |
| URL of another server, `urn:…`, canonical | the text; a canonical with a version also without it |
| `Reference.identifier` | system+value, value |
| a resource inside (`Bundle.entry.resource`) | the text `Type/id` |
| `#contained`, only a display | nothing |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fhir_server.model.references import Absolute, Local, Urn, parse_reference
from fhir_server.search.escape import split, unescape
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.parameters import Source, holds
from fhir_server.search.predicates import Predicate, keys
from fhir_server.storage.index_keys import pack
from profiles.registry import R4

Name = tuple[str, str]
"""(type, id) of a resource of this server."""

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TEXTUAL = frozenset({"canonical", "uri", "Reference"})


@dataclass(frozen=True, slots=True)
class Reference:
    """The resources that may be meant, what the text is where a reference is no local one, or an identifier."""

    names: tuple[Name, ...] = ()
    text: str | None = None
    identifier: tuple[str | None, str] | None = None


def parse(text: str, targets: tuple[str, ...], modifier: str | None, base: str) -> Reference:
    """Read a reference; `modifier` is `identifier`, a resource type or None. ValueError says what is wrong."""
    if modifier == "identifier":
        return Reference(identifier=_identifier(text))
    value = unescape(text)
    allowed = (modifier,) if modifier else targets
    parsed = parse_reference(value, base)
    if isinstance(parsed, Local):
        return Reference(((parsed.type, parsed.id),) if not modifier or parsed.type == modifier else (), value)
    if not _ID.fullmatch(value):
        return Reference((), value)
    return Reference(tuple((type_, value) for type_ in allowed or R4.types), value)


def _identifier(text: str) -> tuple[str | None, str]:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) > 2 or not parts[-1]:
        raise ValueError("with :identifier is [system]|[value] or [value]")
    return (parts[0], parts[1]) if len(parts) == 2 else (None, parts[0])


# ---- rows ----


@lru_cache(maxsize=8192)  # some 4 MB; a stream of measurements is new names for ever, and one costs 6 µs
def _parsed(text: str, base: str) -> Name | str | None:
    """Return the name that a literal reference gives, its text when it points elsewhere, None when it stays inside."""
    parsed = parse_reference(text, base)
    if isinstance(parsed, Local):
        return parsed.type, parsed.id
    return text if isinstance(parsed, Absolute | Urn) else None


def _literal(entries: Entries, param: int, value: dict[str, Any]) -> None:
    text = value.get("reference")
    if text is not None:
        found = _parsed(text, entries.base)
        if isinstance(found, tuple):
            entries.references.append((param, *found))
        elif found is not None:
            entries.keys.add(entries.key(param, "u", found))
    identifier = value.get("identifier")
    if identifier is not None and "value" in identifier:
        entries.keys.add(entries.key(param, "i", identifier.get("system", ""), identifier["value"].casefold()))
        entries.keys.add(entries.key(param, "iv", identifier["value"].casefold()))


def _textual(entries: Entries, param: int, value: str) -> None:
    entries.keys.add(entries.key(param, "u", value))
    if "|" in value:
        entries.keys.add(entries.key(param, "u", value.partition("|")[0]))


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    for type_, value in pairs:
        if type_ == "Reference":
            _literal(entries, param, value)
        elif isinstance(value, str):
            _textual(entries, param, value)
        elif "resourceType" in value and "id" in value:
            entries.keys.add(entries.key(param, "u", f"{value['resourceType']}/{value['id']}"))


def name_of(value: Any, base: str) -> str | None:
    """Return the text of a reference or canonical by which composites know it; None when it has none."""
    if isinstance(value, str):
        return value
    found = _parsed(value["reference"], base) if "reference" in value else None
    return "/".join(found) if isinstance(found, tuple) else found


def texts(value: Reference) -> list[str]:
    """Return the texts by which composites may know what a query means."""
    return [f"{type_}/{id_}" for type_, id_ in value.names] + ([value.text] if value.text and not value.names else [])


def accepts(value: Reference, pairs: Pairs) -> bool:
    """Tell whether one of the references found in a resource is meant."""
    return any(name_of(found, "") in texts(value) for _, found in pairs)


def meant(value: Reference, pairs: Pairs) -> bool:
    """Tell the same as the index would: by identifier too, and of a canonical with its version and without."""
    return any(_is_meant(value, found) for _, found in pairs)


def _is_meant(value: Reference, found: Any) -> bool:
    if value.identifier is not None:
        return isinstance(found, dict) and _identified(value.identifier, found)
    if isinstance(found, str):
        names = {value.text, *("/".join(name) for name in value.names)}
        return found in names or found.partition("|")[0] in names
    parsed = _parsed(found["reference"], "") if "reference" in found else None
    return parsed in value.names if isinstance(parsed, tuple) else parsed is not None and parsed == value.text


def _identified(wanted: tuple[str | None, str], found: dict[str, Any]) -> bool:
    system, code = wanted
    identifier = found.get("identifier", {})
    same = identifier.get("value", "").casefold() == code.casefold()
    return same and system in (None, identifier.get("system", ""))


# ---- predicate ----


def literal(source: Source) -> bool:
    """Tell whether resources of ours can be referred to: by a Reference, not by a canonical URL or from inside a Bundle."""
    return "Reference" in source.types or (
        not source.types and not any(t.expression.endswith(".resource") for t in source.terms)
    )


def _texts(value: Reference, names: list[Name], source: Source) -> list[str]:
    """Return the texts by which what is no literal Reference may say the same."""
    texts = [value.text] if value.text is not None else []
    if not source.types or source.types - {"Reference"}:
        texts += [f"{type_}/{id_}" for type_, id_ in names]
    return list(dict.fromkeys(texts))


def predicate(value: Reference, source: Source, key: KeyFunction, rids: Mapping[Name, int]) -> Predicate:
    """Return the condition that the resource refers so; `rids` holds those of `value.names` that were ever mentioned."""
    if value.identifier is not None:
        system, code = value.identifier
        parts = ("iv", code.casefold()) if system is None else ("i", system, code.casefold())
        return keys([key(source.id, *parts)])
    names = [name for name in value.names if source.only in (None, name[0])]
    found = [pack(source.id, rids[name]) for name in names if name in rids]
    if any(holds(source, type_) for type_ in _TEXTUAL):
        found += [key(source.id, "u", text) for text in _texts(value, names, source)]
    return keys(found)
