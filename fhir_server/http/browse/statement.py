"""The CapabilityStatement for people: what this server is, and each type with what can be done with it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from fhir_server.http.browse import forms, shell
from fhir_server.http.browse.markup import EMPTY, Html, el, join
from fhir_server.http.browse.visit import Visit
from fhir_server.kit import json

Json = dict[str, Any]
_SHORT: Final = {"search-type": "search", "history-instance": "history", "history-type": "history of the type"}


def page(visit: Visit, body: bytes) -> bytes:
    """Return the page of `metadata`, which anybody may ask for: what is long is made once."""
    statement = _read(body)
    software = statement.get("software", {})
    rest = statement.get("rest", [{}])[0]
    return shell.page(
        visit,
        "Capabilities",
        el("h1", str(statement.get("title", "Capabilities"))),
        el(
            "p",
            f"{software.get('name', '')} {software.get('version', '')} · FHIR {statement.get('fhirVersion', '')} · {visit.base}",
            class_="sub",
        ),
        el("p", str(statement.get("description", ""))),
        EMPTY
        if visit.known or visit.signed_in
        else el("details", el("summary", "Sign in"), forms.sign_in(visit), class_="box"),
        shell.other_forms(visit),
        el("h2", "The whole server"),
        el("p", _names(rest.get("interaction", []), "code"), _operations(rest)),
        _types(visit.base, body),
    )


@lru_cache(maxsize=64)
def _read(body: bytes) -> Json:
    return json.decode_trusted(body)  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _types(base: str, body: bytes) -> Html:
    types = _read(body)["rest"][0]["resource"]
    table = el(
        "div", _table(Visit(base), types), class_="scroll", tabindex=0, role="region", aria_label="Resource types"
    )
    return join(el("h2", f"{len(types)} resource types"), table)


def _names(items: list[Json], key: str) -> str:
    names = [str(item.get(key, "")) for item in items]
    return ", ".join(_SHORT.get(name, name) for name in names)


def _operations(holder: Json) -> str:
    names = [f"${each.get('name', '')}" for each in holder.get("operation", [])]
    return ("; " + ", ".join(names)) if names else ""


def _table(visit: Visit, types: list[Json]) -> Html:
    head = [el("th", words, scope="col") for words in ("type", "interactions", "search parameters")]
    return el("table", el("thead", el("tr", *head)), el("tbody", [_row(visit, each) for each in types]))


def _row(visit: Visit, resource: Json) -> Html:
    name = str(resource.get("type", ""))
    params = resource.get("searchParam", [])
    listed = [[el("code", str(each.get("name", ""))), f" {each.get('type', '')}", el("br")] for each in params]
    done = join(_names(resource.get("interaction", []), "code"), _operations(resource))
    shown = el("details", el("summary", f"{len(params)} parameters"), *listed)
    return el("tr", el("td", el("a", name, href=visit.to(name))), el("td", done), el("td", shown))
