"""The answer as text on a page: the cookie of a browser is good for pages only, so the raw JSON and XML are pages too."""

from __future__ import annotations

from typing import Final

import msgspec

from fhir_server.http.browse import shell
from fhir_server.http.browse.markup import EMPTY, el
from fhir_server.http.browse.visit import Visit
from fhir_server.model.xml.write import to_xml

_MOST: Final = 1_000_000


def page(visit: Visit, body: bytes) -> bytes:
    """Return the page of the text."""
    text = (to_xml(body, pretty=True) if visit.view == "xml" else msgspec.json.format(body, indent=2)).decode()
    cut = len(text) > _MOST
    title = f"{visit.path or 'FHIR'} as {visit.view.upper()}"
    return shell.page(
        visit,
        title,
        el("h1", title),
        el(
            "div",
            el("a", "Back to the page", href=visit.here(), class_="button"),
            el("button", "Copy", type="button", data_copy="raw", hidden=True),
            class_="row",
        ),
        el("p", f"These are the first {_MOST} of {len(text)} characters; ask with curl for all of them.", class_="dim")
        if cut
        else EMPTY,
        el("pre", text[:_MOST], id="raw", tabindex=0),
    )
