"""Narratives as HTML: built anew from the elements and attributes that R4 allows, so nothing else can come through.

Written anew means that no reading of HTML differs from what was looked at: comments, CDATA and processing instructions are gone.
Images from elsewhere and style attributes are left out too: a page asks nobody else and looks like itself.
"""

from __future__ import annotations

import re
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]

from fhir_server.http.browse.markup import Html, el, is_safe, text
from fhir_server.http.browse.visit import Visit

_XHTML: Final = "{http://www.w3.org/1999/xhtml}"
_ELEMENT_NAMES: Final = (
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p "
    "pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var"
)
_GONE_NAMES: Final = (
    "script style iframe object embed form input button textarea select svg math template noscript head title"
)
_ATTRIBUTE_NAMES: Final = (
    "abbr align alt colspan dir height lang rowspan scope span start title type valign value width"
)
_ELEMENTS: Final = frozenset(_ELEMENT_NAMES.split())
_GONE: Final = frozenset(_GONE_NAMES.split())
"""Elements of which not even the text is kept."""
_ATTRIBUTES: Final = frozenset(_ATTRIBUTE_NAMES.split())
_IMAGE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*")
_MOST: Final = 400_000


def shown(visit: Visit, div: object) -> Html | None:
    """Return a narrative as HTML; None when it is none, or too long for a page."""
    if not isinstance(div, str) or len(div) > _MOST or "<!DOCTYPE" in div:
        return None
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(div.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError:
        return None
    return el("section", _inside(visit, root), class_="narrative", aria_label="Narrative")


def _inside(visit: Visit, element: Any) -> Html:
    parts = [text(element.text or "")]
    for child in element:
        parts += [_element(visit, child), text(child.tail or "")]
    return Html("".join(parts))


def _element(visit: Visit, element: Any) -> Html:
    if not isinstance(element.tag, str):
        return text("")
    name = element.tag.removeprefix(_XHTML)
    if name.lower() in _GONE or name.startswith("{"):
        return text("")
    if name == "img":
        return _image(element)
    if name not in _ELEMENTS:
        return _inside(visit, element)
    given = {key: value for key, value in element.attrib.items() if key in _ATTRIBUTES}
    if name == "a":
        given |= _link(visit, element.get("href", ""))
    return el(name, _inside(visit, element), **{f"{key}_": value for key, value in given.items()})


def _link(visit: Visit, address: str) -> dict[str, str]:
    """Return where a link leads; relative ones are relative to the base."""
    own = visit.reference(address)
    if own is None or not is_safe(own):
        return {}
    return {"href": own} | ({} if own.startswith("/") else {"rel": "noreferrer noopener external"})


def _image(element: Any) -> Html:
    source = element.get("src", "")
    alt = element.get("alt", "")
    if not _IMAGE.fullmatch(source):
        return el("span", f"[image: {alt}]" if alt else "[image]", class_="dim")
    return Html(f'<img src="{text(source)}" alt="{text(alt)}">')
