"""Reference with `:above` and `:below`: parts of a resource, versions of a canonical (R4 search.html#reference).

location:below=Location/1            Location/1, and what is part of it, and so on; found before the search runs (`lookup.py`)
depends-on:below=http://x/Lib|1.2    versions 1.2, 1.2.1 ...; without a version any
depends-on:above=http://x/Lib|1.2.1  versions 1.2.1, 1.2, 1 and what names none
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.search.escape import unescape
from fhir_server.search.kinds import reference
from fhir_server.search.kinds.entries import KeyFunction, Pairs
from fhir_server.search.kinds.uri import Relation
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import EVERYTHING, NOTHING, Match, any_of, keys
from fhir_server.storage.index_keys import pack


@dataclass(frozen=True, slots=True)
class Related:
    """The resources that may be meant, or a canonical; `rids` are the resources and their parts once they have been looked up."""

    names: tuple[reference.Name, ...]
    canonical: str
    relation: Relation
    rids: tuple[int, ...] = ()


def parse(text: str, targets: tuple[str, ...], modifier: str, base: str) -> Related:
    """Read the resource or canonical; `targets` are the types that have parts."""
    value = reference.parse(text, targets, None, base) if targets else reference.Reference()
    names = tuple(name for name in value.names if name[0] in targets)
    if not names and ":" not in text:
        kinds = f"a resource that has parts ({', '.join(targets)})" if targets else "a canonical URL"
        raise ValueError(f"with :{modifier} is {kinds}")
    return Related(names, unescape(text), "above" if modifier == "above" else "below")


def match(value: Related, source: Source, key: KeyFunction) -> Match:
    """Return the condition that a resource refers to one of them, and what it leaves in doubt."""
    found = keys([pack(source.id, rid) for rid in value.rids])
    if source.types and "canonical" not in source.types:
        return Match(found)
    url, _, version = value.canonical.partition("|")
    by_url = keys([key(source.id, "u", url)])
    return Match(any_of([found, by_url]), EVERYTHING if version or value.relation == "above" else NOTHING)


def _within(version: str, wider: str) -> bool:
    return version == wider or version.startswith(f"{wider}.") or not wider


def accepts(value: Related, pairs: Pairs) -> bool:
    """Tell whether one of the canonicals found in a resource is a version that is meant."""
    url, _, version = value.canonical.partition("|")
    cited = [found.partition("|")[::2] for _, found in pairs if isinstance(found, str)]
    versions = [cited_version for cited_url, cited_version in cited if cited_url in (url, value.canonical)]
    if value.relation == "below":
        return any(_within(each, version) for each in versions)
    return any(_within(version, each) for each in versions)
