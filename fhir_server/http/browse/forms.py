"""Forms: searching by the parameters of a type, and keeping a token for the browser."""

from __future__ import annotations

from typing import Final

from fhir_server.http.browse.markup import EMPTY, Html, el, join
from fhir_server.http.browse.visit import Visit
from fhir_server.search.parameters import served_params
from profiles.registry import R4

_HINTS: Final = {
    "date": "2026-01-31 or ge2026",
    "token": "code or system|code",
    "reference": "Type/id",
    "quantity": "5.4 or gt5.4",
    "number": "5 or gt5",
    "uri": "https://…",
    "composite": "a$b",
}
_CONTROLS: Final = ("_id", "_lastUpdated", "_sort", "_count")


def search(visit: Visit) -> Html:
    """Return the form for a search of one type: what is left empty is not asked for."""
    type_ = visit.path.rsplit("/", 1)[-1]
    if not R4.is_type(type_):
        return EMPTY
    kinds = {param.name: param.kind for param in served_params(type_)}
    given = [name for name, _ in visit.params if name not in kinds and name not in _CONTROLS and name != "_cursor"]
    names = [*dict.fromkeys(given), *(name for name in kinds if not name.startswith("_")), *_CONTROLS]
    values = dict(visit.params)
    fields = [_field(name, kinds.get(name, ""), values.get(name, "")) for name in names]
    form = el(
        "form",
        el("div", *fields, class_="fields"),
        el("button", "Search"),
        method="get",
        action=visit.to(visit.path),
        data_search=True,
    )
    return el("details", el("summary", f"Search {type_}"), form, class_="box")


def _field(name: str, kind: str, value: str) -> Html:
    box = el(
        "input", name=name, value=value or None, placeholder=_HINTS.get(kind), autocomplete="off", spellcheck="false"
    )
    return el("label", el("span", name), box)


def sign_in(visit: Visit) -> Html:
    """Return the form that takes a token, or why there is none."""
    if not visit.signing_in:
        return el("p", "This server is reached over plain http in production: a token can only be kept over https.")
    here = visit.here(**({"_view": visit.view} if visit.view else {}))
    return join(
        el(
            "form",
            el(
                "label",
                "Access token",
                el("input", name="token", type="password", required=True, autocomplete="off", spellcheck="false"),
            ),
            el("input", type="hidden", name="next", value=here),
            el("button", "Sign in"),
            method="post",
            action=f"{visit.place}/browse/sign-in",
            class_="signin",
        ),
        el(
            "p",
            "An administrator of this server prints one with ",
            el("code", "./clarity token"),
            ". It is kept in a cookie of this base that only reads pages and that scripts cannot see, until it expires",
            " or you sign out.",
            class_="dim",
        ),
    )
