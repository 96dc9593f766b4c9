"""Includes along canonical URLs: from what cites `url|version` to the resource of that url, and back.

The index holds the URLs as keyed hashes of their parameter, so they are read from the rows' bodies and looked for by the other
side's keys (R4 references.html#canonical). A citation without a version means every version that is here; one with a version
that version only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from fhir_server.kit import json
from fhir_server.search.include import Step
from fhir_server.search.kinds.entries import KeyFunction
from fhir_server.search.parameters import Source, table
from fhir_server.search.verify import Resource, pairs_of
from fhir_server.storage.reads import Stored
from profiles.registry import R4

Accepts = Callable[[bytes], bool]
Search = tuple[list[int], Accepts]
"""Index keys to look for, and the last word about what they find."""

_CANONICAL = frozenset({"canonical", "uri"})


def cites(source: Source) -> bool:
    """Tell whether a source holds canonical URLs."""
    return bool(source.types & _CANONICAL)


def _citations(source: Source, resource: Resource) -> set[tuple[str, str]]:
    """Return (url, version) of what a source finds in a resource; version "" when none is said."""
    texts = [value for _, value in pairs_of(source, resource) if isinstance(value, str)]
    stems = [text.partition("#")[0] for text in texts]
    return {(url, version) for url, _, version in (stem.partition("|") for stem in stems) if url}


def _url_keys(type_: str, urls: Iterable[str], key: KeyFunction) -> list[int]:
    return [key(source.id, "u", url) for source in table(type_).sources.get("url", ()) for url in urls]


def ahead(steps: Sequence[Step], rows: Sequence[Stored], seen: Iterable[str], key: KeyFunction) -> Iterator[Search]:
    """Yield what to look for to find the resources that rows of one type cite."""
    citing = [step for step in steps if cites(step[0])]
    if not citing:
        return
    resources = [json.decode_trusted(row.body) for row in rows]
    for source, target in citing:
        cited = {citation for resource in resources for citation in _citations(source, resource)}
        types = {target} if target else set(source.param.targets or R4.types)
        urls = sorted({url for url, _ in cited})
        keys = [found for type_ in sorted(types.intersection(seen)) for found in _url_keys(type_, urls, key)]
        if keys:
            yield keys, _is_one_of(cited)


def _is_one_of(cited: set[tuple[str, str]]) -> Accepts:
    def accepts(body: bytes) -> bool:
        resource = json.decode_trusted(body)
        url = resource.get("url", "")
        return (url, "") in cited or (url, resource.get("version", "")) in cited

    return accepts


def behind(
    steps: Mapping[str, Sequence[Step]], by_type: Mapping[str, Sequence[Stored]], key: KeyFunction
) -> Iterator[Search]:
    """Yield what to look for to find the resources that cite the rows; `steps` are those of each type that may be found."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    keys: list[int] = []
    for type_, source, target in ((t, source, target) for t, each in steps.items() for source, target in each):
        names = _names(by_type.get(target, ()) if target else [row for rows in by_type.values() for row in rows])
        if cites(source) and names:
            wanted.setdefault(type_, set()).update(names)
            keys += [key(source.id, "u", url) for url, _ in sorted(names)]
    if keys:
        yield keys, _cites_one_of(steps, wanted)


def _names(rows: Iterable[Stored]) -> set[tuple[str, str]]:
    """Return (url, version) of the rows that have a url of their own."""
    found = (json.decode_trusted(row.body) for row in rows if table(row.type).sources.get("url"))
    return {(resource["url"], resource.get("version", "")) for resource in found if "url" in resource}


def _cites_one_of(steps: Mapping[str, Sequence[Step]], wanted: Mapping[str, set[tuple[str, str]]]) -> Accepts:
    def accepts(body: bytes) -> bool:
        resource = json.decode_trusted(body)
        type_ = resource["resourceType"]
        names = wanted.get(type_, set())
        urls = {url for url, _ in names}
        cited = {each for source, _ in steps.get(type_, ()) if cites(source) for each in _citations(source, resource)}
        return bool(cited & names) or any(url in urls and not version for url, version in cited)

    return accepts
