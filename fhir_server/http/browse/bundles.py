"""Bundles that answer: a search as one table for each type, a history as versions, a batch as its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from fhir_server.http.browse import forms, shell
from fhir_server.http.browse.columns import chosen
from fhir_server.http.browse.markup import EMPTY, Html, el, join
from fhir_server.http.browse.outcomes import issues
from fhir_server.http.browse.values import link
from fhir_server.http.browse.visit import Visit
from profiles.registry import R4

Json = dict[str, Any]
ANSWERS: Final = ("searchset", "history", "batch-response", "transaction-response")
"""Types of Bundles that are answers; others are documents and shown as resources."""
_RELATIONS: Final = {"first": "First", "previous": "Previous", "prev": "Previous", "next": "Next", "last": "Last"}


def page(visit: Visit, bundle: Json) -> bytes:
    """Return the page of a Bundle that answers."""
    entries = bundle.get("entry", [])
    title, body = _content(visit, str(bundle.get("type")), entries)
    return shell.page(
        visit,
        title,
        el("h1", title),
        el("p", _count(bundle, entries), class_="sub"),
        _criteria(visit),
        forms.search(visit) if visit.path else _types(visit),
        shell.other_forms(visit),
        body,
        _paging(visit, bundle),
    )


def _content(visit: Visit, type_: str, entries: Sequence[Json]) -> tuple[str, Html]:
    if type_ == "history":
        return f"History of {visit.path.removesuffix('/_history').removesuffix('_history') or 'everything'}", _versions(
            visit, entries
        )
    if type_ == "searchset":
        return visit.path or "Everything", join(*_tables(visit, entries))
    return "Answers", _answers(visit, entries)


def _count(bundle: Json, entries: Sequence[Json]) -> str:
    shown = sum(entry.get("search", {}).get("mode") != "outcome" for entry in entries)
    total = bundle.get("total")
    return f"{shown} shown" if total is None else f"{shown} shown of {total}"


def _criteria(visit: Visit) -> Html:
    """Return what was asked, one by one."""
    asked = [el("li", f"{name} = {value}") for name, value in visit.params if name != "_cursor"]
    return el("ul", *asked, class_="chips", aria_label="Criteria") if asked else EMPTY


def _types(visit: Visit) -> Html:
    links = [[el("a", type_, href=visit.to(type_)), " "] for type_ in R4.types]
    return el("details", el("summary", "By type"), el("p", *links), class_="box")


def _tables(visit: Visit, entries: Sequence[Json]) -> Iterator[Html]:
    """Yield warnings, then what matches, then what was included, each type in a table of its own."""
    found: dict[tuple[str, str], list[Json]] = {}
    for entry in entries:
        resource = entry.get("resource", {})
        mode = str(entry.get("search", {}).get("mode", "match"))
        if mode == "outcome":
            yield issues(resource)
        else:
            found.setdefault((mode, str(resource.get("resourceType"))), []).append(resource)
    if not found:
        yield el("p", "Nothing was found.", class_="none")
    alone = len(found) == 1
    for (mode, type_), resources in found.items():
        heading = f"{type_}, included" if mode == "include" else type_
        yield join(EMPTY if alone else el("h2", heading), _table(visit, type_, resources))


def _table(visit: Visit, type_: str, resources: Sequence[Json]) -> Html:
    columns = chosen(type_, resources)
    head = [el("th", words, scope="col") for words in ("id", *(column.title for column in columns), "changed")]
    rows = [
        el(
            "tr",
            el("td", _to(visit, type_, resource), class_="id"),
            [el("td", column.cell(visit, resource)) for column in columns],
            el("td", _moment(resource.get("meta", {}).get("lastUpdated")), class_="num dim"),
        )
        for resource in resources
    ]
    return _scroll(type_, head, rows)


def _to(visit: Visit, type_: str, resource: Json) -> Html:
    id_ = resource.get("id")
    return (
        el("a", id_, href=visit.to(f"{type_}/{id_}"))
        if isinstance(id_, str)
        else el("span", "without id", class_="dim")
    )


def _moment(moment: object) -> str:
    """Return a moment to the minute: the rest is in the resource."""
    return f"{moment[:10]} {moment[11:16]}" if isinstance(moment, str) else ""


def _scroll(name: str, head: Sequence[Html], rows: Sequence[Html]) -> Html:
    table = el("table", el("thead", el("tr", *head)), el("tbody", *rows))
    return el("div", table, class_="scroll", tabindex=0, role="region", aria_label=name)


def _versions(visit: Visit, entries: Sequence[Json]) -> Html:
    head = [el("th", words, scope="col") for words in ("what", "version", "method", "status", "when")]
    return _scroll("Versions", head, [_version(visit, entry) for entry in entries])


def _version(visit: Visit, entry: Json) -> Html:
    response, request = entry.get("response", {}), entry.get("request", {})
    number = str(response.get("etag", "")).removeprefix('W/"').removesuffix('"')
    own = visit.own(str(entry.get("fullUrl", ""))) or ""
    name = own.removeprefix(f"{visit.root}/")
    version = link(number, f"{own}/_history/{number}") if own and "resource" in entry else number
    cells = [link(name, own or None), version, request.get("method", ""), response.get("status", "")]
    return el("tr", [el("td", cell) for cell in cells], el("td", _moment(response.get("lastModified")), class_="num"))


def _answers(visit: Visit, entries: Sequence[Json]) -> Html:
    head = [el("th", words, scope="col") for words in ("#", "status", "where", "what")]
    return _scroll("Answers", head, [_answer(visit, place, entry) for place, entry in enumerate(entries)])


def _answer(visit: Visit, place: int, entry: Json) -> Html:
    response = entry.get("response", {})
    where = str(response.get("location", ""))
    outcome = response.get("outcome")
    what = issues(outcome) if isinstance(outcome, dict) else str(entry.get("resource", {}).get("resourceType", ""))
    cells = [str(place), str(response.get("status", "")), link(where, visit.reference(where)), what]
    return el("tr", [el("td", cell) for cell in cells])


def _paging(visit: Visit, bundle: Json) -> Html:
    """Return the links to other pages; they are addresses of ours, or left out."""
    links = []
    for each in bundle.get("link", []):
        words, own = _RELATIONS.get(str(each.get("relation"))), visit.own(str(each.get("url", "")))
        if words and own:
            links.append(el("a", words, href=own, rel=each["relation"], class_="button"))
    return el("nav", *links, class_="row", aria_label="Pages") if links else EMPTY
