"""Uri: exact, case-sensitive (R4 search.html#uri). A canonical with a version is found with it and without.

`:below` finds a URL and what lies under it, whole segments of its path at a time; `:above` the URL and what it lies under. Both are
for URLs: a URN has no path. Every segment of a path above a URL would be an entry of its own, so only types that are not about
patients have those, and only for parameters of their own (`ValueSet.url`, not `_profile`); elsewhere `:below` looks into resources.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fhir_server.search.escape import unescape
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import EVERYTHING, Match, Predicate, keys
from profiles.registry import R4

Relation = Literal["above", "below"]

SEGMENTS = 24
"""How deep a path is indexed and asked for."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/]+")
_OF_ALL_TYPES = frozenset({"Resource", "DomainResource"})


@dataclass(frozen=True, slots=True)
class Uri:
    """The whole URI, or with a relation what lies under or over it."""

    uri: str
    relation: Relation | None = None


def parse(text: str, modifier: str | None = None) -> Uri:
    """Read a URI; ValueError when a URL is needed and it is none."""
    value = unescape(text)
    if modifier not in ("above", "below"):
        return Uri(value)
    relation: Relation = "above" if modifier == "above" else "below"
    if not _URL.match(value):
        raise ValueError(f"with :{relation} is a URL with its scheme: URNs such as urn:oid:1.2.3 have no path")
    if value.count("/") > SEGMENTS:
        raise ValueError(f"with :{relation} has {SEGMENTS} segments at most")
    return Uri(value, relation)


def path_to(url: str) -> list[str]:
    """Return a URL without slashes at its end and every URL above it, the whole first; [] for what is no URL."""
    root = _URL.match(url)
    if root is None:
        return []
    url = url.rstrip("/")
    cuts = [at for at in range(root.end(), len(url)) if url[at] == "/" and url[at - 1] != "/"]
    return [url, *(url[:at] for at in reversed(cuts))]


# ---- rows ----


def _in_segments(source: int, *, blind: bool) -> bool:
    return not blind and R4.param_by_id(source).base not in _OF_ALL_TYPES


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    segmented = _in_segments(param, blind=entries.blind)
    for type_, value in pairs:
        entries.keys.add(entries.key(param, "u", value))
        bare = value.partition("|")[0] if type_ == "canonical" else value
        if bare != value:
            entries.keys.add(entries.key(param, "u", bare))
        if segmented:
            entries.keys.update(entries.key(param, "b", above) for above in path_to(bare)[-SEGMENTS:])


# ---- predicate ----


def predicate(value: Uri, source: Source, key: KeyFunction) -> Predicate:
    """Return the condition that a resource holds the very URI."""
    return keys([key(source.id, "u", value.uri)])


def match(value: Uri, source: Source, key: KeyFunction, *, blind: bool) -> Match:
    """Return the condition that a resource holds the URI, or one that is so related to it, and what it leaves in doubt."""
    if value.relation is None:
        return Match(predicate(value, source, key))
    if value.relation == "above":
        over = [form for url in path_to(value.uri) for form in (url, f"{url}/")]
        return Match(keys([key(source.id, "u", form) for form in dict.fromkeys((value.uri, *over))]))
    if _in_segments(source.id, blind=blind):
        return Match(keys([key(source.id, "b", value.uri.rstrip("/"))]))
    return Match(EVERYTHING, EVERYTHING)


# ---- in memory ----


def _related(value: Uri, found: str) -> bool:
    if value.relation == "below":
        return value.uri.rstrip("/") in path_to(found)
    if value.relation == "above":
        return found == value.uri or found.rstrip("/") in path_to(value.uri)
    return found == value.uri


def accepts(value: Uri, pairs: Pairs) -> bool:
    """Tell whether one of the URIs found in a resource is meant; a canonical with its version and without."""
    forms = [(found, found.partition("|")[0] if type_ == "canonical" else found) for type_, found in pairs]
    return any(_related(value, form) for both in forms for form in both)
