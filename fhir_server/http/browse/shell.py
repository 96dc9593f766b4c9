"""The frame around every page, and the headers that keep it to itself."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Final

from fhir_server.http.browse.markup import EMPTY, Html, Part, document, el, join
from fhir_server.http.browse.visit import VIEWS, Visit

_FOLDER: Final = Path(__file__).parent
_STYLE: Final = (_FOLDER / "page.css").read_text(encoding="utf-8")
_SCRIPT: Final = (_FOLDER / "page.js").read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return f"'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'"


_POLICY: Final = (
    f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; img-src data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = [
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
"""What every page has beside `no-store` and `nosniff`: only this style and this script, no frames, no other sites."""


def page(visit: Visit, title: str, *main: Part) -> bytes:
    """Return a page: where one is, what is there, and how else to have it."""
    body = join(
        el("a", "Skip to the content", href="#content", class_="skip"),
        el("header", el("a", "Clarity", href=visit.to() or "/", class_="brand"), _trail(visit), _sign_out(visit)),
        el("main", *main, id="content"),
        _footer(visit),
        Html(f"<script>{_SCRIPT}</script>"),
    )
    return document(f"{title} · Clarity", Html(f"<style>{_STYLE}</style>"), body)


def _trail(visit: Visit) -> Html:
    """Return the way from the base to here, each step a link."""
    if not visit.base:
        return el("nav", class_="trail")
    steps: list[Part] = [el("a", "FHIR R4", href=visit.to())]
    parts = [part for part in visit.path.split("/") if part]
    for count, part in enumerate(parts, start=1):
        path = "/".join(parts[:count])
        steps += [" / ", el("a", part, href=visit.to(path), aria_current="page" if count == len(parts) else None)]
    return el("nav", *steps, class_="trail", aria_label="Where you are")


def _sign_out(visit: Visit) -> Html:
    if not visit.signed_in:
        return EMPTY
    return el("form", el("button", "Sign out"), method="post", action=f"{visit.place}/browse/sign-out")


def _footer(visit: Visit) -> Html:
    links = [el("a", "Capabilities", href=visit.to("metadata")), " · "] if visit.base else []
    return el("footer", links, f"Request {visit.request_id}. Clarity is not a medical device.")


def other_forms(visit: Visit) -> Html:
    """Return the links to the same as text, and how to ask for it with curl."""
    command = f"curl -s '{visit.absolute()}' -H 'Accept: application/fhir+json' -H \"Authorization: Bearer $TOKEN\""
    raw = [el("a", f"Raw {view.upper()}", href=visit.here(_view=view), class_="button") for view in VIEWS]
    copy = el("button", "Copy as curl", type="button", data_copy="curl", hidden=True)
    shown = el("details", el("summary", "Show curl", class_="button"), el("pre", command, id="curl"), class_="inline")
    return el("div", *raw, _explain(visit), copy, shown, class_="row")


def _explain(visit: Visit) -> Html:
    """Return the link to how a search of a type is understood, for who may know."""
    if not visit.explains or visit.interaction != "search-type" or "/" in visit.path:
        return EMPTY
    return el("a", "Explain", href=visit.to(f"{visit.path}/$explain", visit.params), class_="button")
