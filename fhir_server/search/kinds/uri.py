"""Uri: exact, case-sensitive (R4 search.html#uri). A canonical with a version is found with it and without."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.escape import unescape
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import Predicate, keys


@dataclass(frozen=True, slots=True)
class Uri:
    """The whole URI."""

    uri: str


def parse(text: str) -> Uri:
    """Read a URI."""
    return Uri(unescape(text))


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    for type_, value in pairs:
        entries.keys.add(entries.key(param, "u", value))
        if type_ == "canonical" and "|" in value:
            entries.keys.add(entries.key(param, "u", value.partition("|")[0]))


def predicate(value: Uri, source: Source, key: KeyFunction) -> Predicate:
    """Return the condition that a resource holds the URI."""
    return keys([key(source.id, "u", value.uri)])
